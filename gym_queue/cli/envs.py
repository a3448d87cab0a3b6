"""``gym-anything list``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from gym_queue.cli.names import SomeEnvName
from gym_queue.cli.tables import print_table
from gym_queue.errors import GymQueueError
from gym_queue.specs.loader import (
    corpus_environments,
    list_tasks,
    load_env,
    load_task,
    resolve_env_dir,
    shipped_environments,
)

UNREADABLE = "?"


def list_envs(
    env: SomeEnvName = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name the tasks of every environment.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the environments that ship and those of the corpora in benchmarks/*/environments; or the tasks of one.

    Exits with 0, or with 1 when there is no such environment.

    Example: gym-anything list terminal_env

    Example: gym-anything list -v
    """
    console = Console(highlight=False)
    if env is not None:
        rows = _task_rows(resolve_env_dir(env))
        _print(rows, as_json=as_json, empty="it has no tasks")
        return
    folders = [*map(resolve_env_dir, shipped_environments()), *corpus_environments()]
    rows = [_env_row(folder, with_tasks=verbose) for folder in folders]
    if verbose and not as_json:
        _print_tasks(rows, console)
    else:
        _print(rows, as_json=as_json, empty="there are no environments")


def _print(rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        print_table(tuple(rows[0]), [tuple(row.values()) for row in rows], numbers=("tasks",))
    else:
        typer.echo(empty)


def _print_tasks(rows: Sequence[dict[str, Any]], console: Console) -> None:
    for row in rows:
        console.print(
            Text.assemble((row["name"], "bold"), f" ({len(row['tasks'])} tasks, runner {row['runner']})")
        )
        for task in row["tasks"]:
            console.print(Text(f"  {task}"))


def _env_row(folder: Path, *, with_tasks: bool) -> dict[str, Any]:
    tasks = list_tasks(folder)
    try:
        spec = load_env(folder)
        runner, description = spec.runner or "any", spec.description
    except GymQueueError as error:  # a broken one hides no other
        runner, description = UNREADABLE, str(error)
    return {
        "name": folder.name,
        "runner": runner,
        "tasks": tasks if with_tasks else len(tasks),
        "description": description,
    }


def _task_rows(folder: Path) -> list[dict[str, Any]]:
    rows = []
    for task_id in list_tasks(folder):
        try:
            task = load_task(folder, task_id)
            difficulty, description = task.difficulty or "", task.description
        except GymQueueError as error:
            difficulty, description = UNREADABLE, str(error)
        rows.append({"task": task_id, "difficulty": difficulty, "description": description})
    return rows
