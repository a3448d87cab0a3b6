"""``gym-anything verify``: environments and tasks, looked at and tried."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gym_queue.benchmark.rehearsal import Play, Rehearsal, ResetChoice, rehearse
from gym_queue.cli.common import FAILED
from gym_queue.cli.names import EnvName, TaskName
from gym_queue.cli.validate import SHOWN, as_json_report, check_folders, show_report, summary, validate
from gym_queue.env.local import from_config
from gym_queue.errors import RequestInvalid, SpecNotFound
from gym_queue.log import configure_logging
from gym_queue.protocol.surface import GymEnv
from gym_queue.specs.corpus import find_corpus
from gym_queue.specs.loader import list_tasks, load_task, resolve_env_dir
from gym_queue.specs.manifests import (
    checked_tasks,
    missing_hook_manifest,
    status_manifest,
    verified_split,
    write_manifest,
)

BROKEN = 3
"""Exit status: the machinery failed, which says nothing about the tasks."""

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Check environments: their files (spec, corpus), and a task's setup and verifier by running it (task).",
)


@app.command()
def spec(
    env: EnvName,
    task: TaskName = None,
    as_json: JsonFlag = False,
) -> None:
    """Check an environment's files and its tasks' without running anything, as gym-anything validate does.

    Exits with 0 when they are sound, 1 when there are problems, 2 when there is no such environment or task.

    Example: gym-anything verify spec terminal_env --task largest_file
    """
    validate(env, task=task, as_json=as_json)


@app.command()
def corpus(
    root: Annotated[Path, typer.Argument(help="Folder that environments lie below.")] = Path("benchmarks"),
    max_failures: Annotated[int, typer.Option(min=0, help="Most problems to print; 0 prints all.")] = SHOWN,
    write_status_manifest: Annotated[
        Path | None, typer.Option(help="Write which tasks are sound, and why others are not.")
    ] = None,
    write_verified_split: Annotated[Path | None, typer.Option(help="Write the sound tasks.")] = None,
    write_missing_hook_manifest: Annotated[
        Path | None, typer.Option(help="Write the tasks whose hooks name scripts that do not exist.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check the files of every environment below a folder without running anything.

    Exits with 0 when they are sound, 1 when there are problems, 2 when the folder holds no environment.

    Example: gym-anything verify corpus ./benchmarks --write-verified-split sound.json
    """
    found = find_corpus(root)
    started = time.perf_counter()
    report = check_folders(found, None, shown=not as_json)
    elapsed_s = time.perf_counter() - started
    made = {
        write_status_manifest: status_manifest,
        write_verified_split: verified_split,
        write_missing_hook_manifest: missing_hook_manifest,
    }
    tasks = checked_tasks(found, report) if any(made) else []
    for path, make in made.items():
        if path is not None:
            write_manifest(path, make(tasks, root))
    if as_json:
        typer.echo(json.dumps(as_json_report(report, elapsed_s), indent=2))
    else:
        show_report(report, max_failures or len(report.problems), root)
        typer.echo(summary(report, elapsed_s, root))
    raise typer.Exit(FAILED if any(not each.is_warning for each in report.problems) else 0)


@app.command()
def task(
    env: EnvName,
    task: TaskName = None,
    all_tasks: Annotated[bool, typer.Option("--all-tasks", help="Every task of the environment.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the resets.")] = 0,
    use_cache: Annotated[
        bool, typer.Option("--use-cache", "--use_cache", help="Reset from checkpoints.")
    ] = False,
    cache_level: Annotated[
        str,
        typer.Option("--cache-level", "--cache_level", help="pre_start, post_start, post_task or default."),
    ] = "pre_start",
    use_savevm: Annotated[
        bool, typer.Option("--use-savevm", "--use_savevm", help="Reset to machines that run: of qemu.")
    ] = False,
    remote_url: Annotated[
        str | None,
        typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="Master or worker; this machine when not given."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a task, and see that its setup works and its verifier tells right from wrong.

    An agent that does nothing must not pass. Where the task has a solution.json, its steps must pass and its wrong ones
    must not.

    Exits with 0 when all is as it must be, 1 when a task is at fault, 3 when the infrastructure broke, 2 when there is no
    such environment or task.

    Example: gym-anything verify task terminal_env --task largest_file

    Example: gym-anything verify task ./my_env --all-tasks --json
    """
    if (task is None) != all_tasks:
        raise RequestInvalid("name one task with --task, or all of them with --all-tasks")
    configure_logging("ERROR")
    folder, tasks = _find(env, task)
    choice = ResetChoice(seed, use_cache, cache_level, use_savevm)
    console, done = Console(highlight=False), list[Rehearsal]()
    for name in tasks:
        done.append(rehearse(folder, name, _opener(env, folder, remote_url), choice))
        if not as_json:
            for line in _lines(done[-1]):
                console.print(line, soft_wrap=True)
    if as_json:
        typer.echo(json.dumps([_as_json(each) for each in done], indent=2))
    elif len(done) > 1:
        console.print(_total(done))
    raise typer.Exit(_status(done))


def _find(env: str, task: str | None) -> tuple[Path, list[str]]:
    try:
        folder = resolve_env_dir(env)
        if task is not None:
            load_task(folder, task)
        tasks = list_tasks(folder) if task is None else [task]
    except SpecNotFound as error:
        raise RequestInvalid(error.message) from error
    if not tasks:
        raise RequestInvalid(f"{folder} has no tasks")
    return folder, tasks


def _opener(env: str, folder: Path, remote_url: str | None) -> Callable[[str], GymEnv]:
    if remote_url is None:
        return lambda name: from_config(folder, name)
    from gym_queue.client import RemoteGymEnv  # a local run needs no client

    return lambda name: RemoteGymEnv.from_config(remote_url, env, task_id=name)


def _lines(found: Rehearsal) -> Iterable[Text]:
    mark = Text("ok     ", "green") if found.ok else Text("FAILED ", "bold red")
    yield mark + Text(f"{found.env}/{found.task_id}", "bold")
    for play in found.plays:
        yield Text(f"       {play.name}: ") + _said(play)
    if not found.has_solution:
        yield Text("       no solution.json: nothing was tried that must pass", "yellow")


def _said(play: Play) -> Text:
    took = f" ({play.duration_s:.1f} s)"
    if play.error is not None:
        return Text(f"not judged: {play.error}{took}", "red")
    score = "" if play.score is None else f", score {play.score:g}"
    said = f"{'passed' if play.passed else 'did not pass'}{score}"
    if play.ok:
        return Text(f"{said}, as it must{took}")
    must = "must" if play.expected else "must not"
    return Text(f"{said}, and {must}{took}: {play.feedback}", "red")


def _total(done: list[Rehearsal]) -> Text:
    failed = [each.task_id for each in done if not each.ok]
    unsolved = sum(not each.has_solution for each in done)
    parts = [f"tasks: {len(done)}", f"at fault: {len(failed)}", f"without a solution: {unsolved}"]
    return Text(", ".join(parts) + (f" ({', '.join(failed)})" if failed else ""))


def _as_json(found: Rehearsal) -> dict[str, Any]:
    plays = [{**play.model_dump(mode="json"), "ok": play.ok} for play in found.plays]
    return {**found.model_dump(mode="json"), "ok": found.ok, "plays": plays}


def _status(done: list[Rehearsal]) -> int:
    if any(not each.ok and not each.is_infrastructure for each in done):
        return FAILED
    return BROKEN if any(each.is_infrastructure for each in done) else 0
