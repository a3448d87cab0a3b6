"""``gym-anything validate``."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gym_queue.cli.common import FAILED
from gym_queue.cli.names import SomeEnvName, TaskName
from gym_queue.errors import NotSupported, RequestInvalid, SpecNotFound
from gym_queue.runners.registry import implemented_runners
from gym_queue.specs.corpus import Corpus, Report, find_corpus, validate_corpus
from gym_queue.specs.files import find_file
from gym_queue.specs.loader import list_tasks, load_env, load_task, resolve_env_dir, task_folder
from gym_queue.specs.problems import Problem, printable
from gym_queue.verifiers import check_supported

SHOWN = 50
"""Problems that are printed unless --limit says otherwise."""


def validate(
    env: SomeEnvName = None,
    task: TaskName = None,
    corpus: Annotated[Path | None, typer.Option(help="Check every environment below this folder.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Most problems to print; 0 prints all.")] = SHOWN,
    jobs: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core by default.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all problems as JSON.")] = False,
) -> None:
    """Check environments and their tasks without running anything; exit 1 when there are problems.

    Warnings, which leave an episode possible, do not count: imports that this machine lacks, and ids.

    Exits with 0, with 1 when there are problems, with 2 when there is no such environment, task or corpus.

    Example: gym-anything validate --corpus ./benchmarks
    """
    found = _asked(env, corpus)
    _check_task(found, task, in_corpus=corpus is not None)
    started = time.perf_counter()
    report = check_folders(found, jobs, shown=not as_json)
    if task is not None:
        report = of_task(report, task)
    elapsed_s = time.perf_counter() - started
    if as_json:
        typer.echo(json.dumps(as_json_report(report, elapsed_s), indent=2))
    else:
        show_report(report, limit or len(report.problems), corpus or found.env_dirs[0])
        for note in [] if corpus or report.problems else _unrunnable(found.env_dirs[0]):
            typer.echo(f"note: {note}")
        typer.echo(summary(report, elapsed_s, corpus or found.env_dirs[0]))
    failed = report.problems if strict else [each for each in report.problems if not each.is_warning]
    raise typer.Exit(FAILED if failed else 0)


def _asked(env: str | None, corpus: Path | None) -> Corpus:
    if (env is None) == (corpus is None):
        raise RequestInvalid(
            "give one of the two: an environment's folder, or --corpus and the folder of many"
        )
    if corpus is not None:
        return find_corpus(corpus)
    try:
        return Corpus((resolve_env_dir(str(env)),))
    except SpecNotFound as error:
        raise RequestInvalid(error.message) from error


def _check_task(found: Corpus, task: str | None, *, in_corpus: bool) -> None:
    if task is None:
        return
    if in_corpus:
        raise RequestInvalid("--task goes with an environment, not with --corpus")
    if not find_file(task_folder(found.env_dirs[0], task), "task"):
        try:
            load_task(found.env_dirs[0], task)
        except SpecNotFound as error:
            raise RequestInvalid(error.message) from error


def of_task(report: Report, task: str) -> Report:
    """Return what a report says of one task and of its environment."""
    return Report(report.envs, 1, tuple(each for each in report.problems if each.task in ("", task)))


def check_folders(corpus: Corpus, jobs: int | None, *, shown: bool) -> Report:
    """Check env folders, with a bar on a terminal while ``shown``."""
    console = Console(stderr=True)
    columns = (TextColumn("tasks"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not (shown and console.is_terminal)
    with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
        line = bar.add_task("tasks", total=None)
        return validate_corpus(
            corpus, jobs=jobs, progress=lambda done, total: bar.update(line, completed=done, total=total)
        )


def show_report(report: Report, limit: int, root: Path) -> None:
    """Print the problems: a table on a terminal, else lines as compilers write them."""
    console = Console()
    rows, hidden = report.problems[:limit], len(report.problems) - limit
    if console.is_terminal:
        if rows:
            console.print(_table(rows, root.absolute()))
    else:
        for each in rows:
            typer.echo(f"{printable(each.place)}: {_severity(each)}: {each.message} [{each.kind}]")
    if hidden > 0:
        typer.echo(f".. and {hidden} more: --limit 0 prints all")
    if rows:
        console.print(_counts(report.problems))


def _table(problems: Iterable[Problem], root: Path) -> Table:
    table = Table("", "environment", "task", "place", "what")
    for each in problems:
        place = each.place.removeprefix(f"{root}/")
        own = each.path.parent.name if each.task else each.env
        short = place.rpartition(f"{own}/")[2] if own else place  # the columns before say the rest
        mark = Text("warning", "yellow") if each.is_warning else Text("error", "red")
        table.add_row(mark, *(Text(printable(text)) for text in (each.env, each.task, short, each.message)))
    return table


def _counts(problems: Iterable[Problem]) -> Table:
    """Count by kind; what is lacking is counted by module, since one package mends them all."""
    counts = Counter(
        (
            _severity(each),
            str(each.kind),
            each.message if each.is_warning and "imports " in each.message else "",
        )
        for each in problems
    )
    table = Table("count", "", "kind", "what", box=None)
    for (severity, kind, what), count in counts.most_common(20):
        table.add_row(str(count), severity, kind, Text(what))
    return table


def summary(report: Report, elapsed_s: float, root: Path) -> str:
    """Return how many there are of what, and how fast they were checked."""
    warnings = sum(each.is_warning for each in report.problems)
    return (
        f"{printable(str(root))}: environments: {report.envs}, tasks: {report.tasks}, "
        f"problems: {len(report.problems) - warnings}, warnings: {warnings} "
        f"({elapsed_s:.1f} s, {report.tasks / max(elapsed_s, 1e-9):.0f} tasks/s)"
    )


def as_json_report(report: Report, elapsed_s: float) -> dict[str, Any]:
    """Return a report as ``--json`` prints it."""
    return {
        "envs": report.envs,
        "tasks": report.tasks,
        "elapsed_s": round(elapsed_s, 3),
        "counts": Counter(each.kind for each in report.problems),
        "problems": [
            {
                "severity": _severity(each),
                "kind": each.kind,
                "env": each.env,
                "task": each.task,
                "path": str(each.path),
                "line": each.line,
                "column": each.column,
                "message": each.message,
            }
            for each in report.problems
        ],
    }


def _severity(problem: Problem) -> str:
    return "warning" if problem.is_warning else "error"


def _unrunnable(folder: Path) -> list[str]:
    """Return what is valid there, and yet not to be run by this version."""
    notes = []
    wanted, implemented = load_env(folder).acceptable_runners(), implemented_runners()
    if wanted and not wanted & set(implemented):
        notes.append(f"this version has no {' or '.join(sorted(wanted))} runner yet")
    for task_id in list_tasks(folder):
        success = load_task(folder, task_id).success
        try:
            check_supported(success.mode if success else None)
        except NotSupported as error:
            notes.append(f"task {task_id}: {error}")
    return notes
