"""``gym-anything doctor``, ``run`` and ``list``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gym_queue.client import RemoteGymEnv
from gym_queue.env.local import from_config
from gym_queue.errors import RequestInvalid
from gym_queue.protocol.surface import GymEnv
from gym_queue.runners.registry import implemented_runners
from gym_queue.specs.loader import list_tasks, load_env, load_task, resolve_env_dir, shipped_environments
from gym_queue.worker.doctor import diagnose, render

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def doctor(
    runner: Annotated[str | None, typer.Option(help="Check just these, comma-separated.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Check what this machine can run; exit 1 when a runner that was asked for is not ready.

    Example: gym-anything doctor --runner local
    """
    asked = [name.strip() for name in runner.split(",") if name.strip()] if runner else None
    report = diagnose(asked, implemented=implemented_runners())
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        Console().print(render(report))
    wanting = [r for r in report.runners if not r.ready] if asked else [] if report.ready else report.runners
    raise typer.Exit(1 if wanting else 0)


def list_envs(
    env: Annotated[str | None, typer.Argument(help="Environment to list the tasks of.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the environments that ship, or the tasks of one.

    Example: gym-anything list terminal_env
    """
    rows = _task_rows(env) if env else _env_rows()
    if as_json:
        typer.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table(*(rows[0] if rows else ["nothing"]))
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    Console().print(table)


def run(
    env: Annotated[str, typer.Argument(help="Environment folder, or the name of one that ships.")],
    task: Annotated[str | None, typer.Option(help="Task to set up.")] = None,
    action: Annotated[list[str] | None, typer.Option(help="A step's action as JSON; repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the reset.")] = 0,
    remote_url: Annotated[
        str | None,
        typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="Master or worker; this machine when not given."),
    ] = None,
    screenshot: Annotated[Path | None, typer.Option(help="Write the last screen to this PNG.")] = None,
    mark_done: Annotated[bool, typer.Option("--done", help="End the episode and have it judged.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Open an environment, play actions, show what it shows.

    Example: gym-anything run terminal_env --task largest_file --action '{"keyboard": {"text": "ls -la\\n"}}'
    """
    steps = [_action(text) for text in action or []]
    opened: GymEnv = (
        RemoteGymEnv.from_config(remote_url, env, task_id=task) if remote_url else from_config(env, task)
    )
    try:
        info: dict[str, Any] = {}
        observation = opened.reset(seed)
        for step in steps:
            observation, _, _, info = opened.step([step], 0.0)
        if mark_done:
            observation, _, _, info = opened.step([], 0.0, True)
        _show(opened, observation, info, screenshot, as_json=as_json)
    finally:
        opened.close()


def _show(
    env: GymEnv, observation: dict[str, Any], info: dict[str, Any], screenshot: Path | None, *, as_json: bool
) -> None:
    text = observation.get("cli_stdout", {}).get("text", "")
    if screenshot is not None:
        _save(observation, screenshot)
    if as_json:
        typer.echo(json.dumps({"task": env.task_description, "text": text, "info": info}, indent=2))
        return
    if env.task_description:
        typer.echo(f"task: {env.task_description}\n")
    typer.echo(text)
    if info.get("verifier"):
        typer.echo(f"\nverdict: {json.dumps(info['verifier'])}")
    if screenshot is not None:
        typer.echo(f"screen: {screenshot}", err=True)


def _save(observation: dict[str, Any], path: Path) -> None:
    if "screen" not in observation:
        raise RequestInvalid("--screenshot: this environment has no screen: leave the flag out")
    try:
        observation["screen"].save(path)
    except OSError as error:
        raise RequestInvalid(f"--screenshot: {path} cannot be written: {error.strerror or error}") from error


def _action(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise RequestInvalid(f"--action {text!r} is not JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise RequestInvalid(f"--action {text!r} is not a JSON object")
    return parsed


def _env_rows() -> list[dict[str, Any]]:
    rows = []
    for name in shipped_environments():
        folder = resolve_env_dir(name)
        spec = load_env(folder)
        rows.append(
            {
                "name": name,
                "runner": spec.runner or "any",
                "tasks": len(list_tasks(folder)),
                "description": spec.description,
            }
        )
    return rows


def _task_rows(env: str) -> list[dict[str, Any]]:
    folder = resolve_env_dir(env)
    rows = []
    for task_id in list_tasks(folder):
        task = load_task(folder, task_id)
        rows.append({"task": task_id, "difficulty": task.difficulty or "", "description": task.description})
    return rows
