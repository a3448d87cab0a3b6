"""``gym-anything run``."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gym_queue.cli.commands import Live, parse_action, save_screen
from gym_queue.cli.interactive import check_terminal, interact
from gym_queue.cli.names import EnvName, TaskName
from gym_queue.cli.options import AllowEmulation
from gym_queue.cli.viewers import ASK_FOR_IT, Place, local_place, remote_place
from gym_queue.client import RemoteGymEnv
from gym_queue.env.local import LocalGymEnv, from_config
from gym_queue.env.setup import local_vm_options
from gym_queue.env.viewerport import ViewerPort
from gym_queue.errors import NotSupported, RequestInvalid
from gym_queue.log import configure_logging
from gym_queue.protocol.surface import GymEnv
from gym_queue.specs.loader import list_tasks, resolve_env_dir

STEP_PAUSE_S = 0.2
SHOWN_TASKS = 12


def run(
    env: EnvName,
    task: TaskName = None,
    interactive: Annotated[
        bool, typer.Option("--interactive", "-i", help="Work with it yourself, in this terminal.")
    ] = False,
    action: Annotated[list[str] | None, typer.Option(help="A step's action as JSON; repeatable.")] = None,
    steps: Annotated[
        int, typer.Option(min=0, max=1_000_000, help="Further steps without an action, 0.2 s apart.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed of the reset.")] = 0,
    remote_url: Annotated[
        str | None,
        typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="Master or worker; this machine when not given."),
    ] = None,
    open_vnc: Annotated[
        bool, typer.Option("--open-vnc", help="With -i: show the screen of a desktop in a viewer or browser.")
    ] = False,
    screenshot: Annotated[Path | None, typer.Option(help="Write the last screen to this PNG.")] = None,
    mark_done: Annotated[bool, typer.Option("--done", help="End the episode and have it judged.")] = False,
    allow_emulation: AllowEmulation = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Open an environment, play actions, show what it shows; with -i, work with it yourself.

    With -i the environment's terminal takes every key, Ctrl-C too; Ctrl-] opens a prompt for commands: done has the
    episode judged, close ends it, help lists the others. Of a desktop, which is watched by VNC, there is the prompt alone.

    Exits with 0; with -i, with 1 when the episode was judged and did not pass.

    Example: gym-anything run terminal_env --task largest_file --action '{"keyboard": {"text": "ls -la\\n"}}'

    Example: gym-anything run terminal_env --task largest_file -i
    """
    console = Console()
    actions = [parse_action(text, flag="--action") for text in action or []]
    _check(interactive, console, plain=bool(actions or steps or mark_done or screenshot or as_json))
    if open_vnc and not interactive:
        raise RequestInvalid("--open-vnc goes with -i: add it")
    vm = replace(local_vm_options(), allow_emulation=allow_emulation)
    opened: GymEnv = (
        RemoteGymEnv.from_config(remote_url, env, task_id=task)
        if remote_url
        else from_config(env, task, vm=vm)
    )
    with closing(opened):
        if interactive:
            name = f"{Path(env).name}/{task}" if task else Path(env).name
            if task is None:
                _name_tasks(env)
            raise typer.Exit(_interact(opened, name, seed, remote_url, console=console, open_viewer=open_vnc))
        _play(opened, actions, seed, steps=steps, mark_done=mark_done, screenshot=screenshot, as_json=as_json)


def _check(interactive: bool, console: Console, *, plain: bool) -> None:
    if not interactive:
        return
    if plain:
        raise RequestInvalid(
            "-i takes no --action, --steps, --done, --screenshot or --json: use its commands"
        )
    check_terminal(console)
    configure_logging("ERROR")  # lines of a log would tear the screen


def _interact(
    env: GymEnv, name: str, seed: int, remote_url: str | None, *, console: Console, open_viewer: bool
) -> int:
    with ExitStack() as stack:
        port = stack.enter_context(closing(ViewerPort()))

        def find_viewer() -> Place:
            session = env.get_session_info()
            if session is not None and remote_url is not None:
                return remote_place(remote_url, session)
            if session is not None and isinstance(env, LocalGymEnv):
                return local_place(env, session, port)
            raise NotSupported(ASK_FOR_IT)

        live = Live(env, name, seed, typer.echo, find_viewer, opens_port=remote_url is None)
        return interact(live, console, open_viewer=open_viewer)


def _name_tasks(env: str) -> None:
    tasks = list_tasks(resolve_env_dir(env))
    shown = ", ".join(tasks[:SHOWN_TASKS]) + (", .." if len(tasks) > SHOWN_TASKS else "")
    if tasks:
        typer.echo(f"no --task: nothing is set up and nothing is judged; its tasks are {shown}", err=True)


def _play(
    env: GymEnv,
    actions: list[dict[str, Any]],
    seed: int,
    *,
    steps: int,
    mark_done: bool,
    screenshot: Path | None,
    as_json: bool,
) -> None:
    observation, done, info = env.reset(seed), False, dict[str, Any]()
    pauses: list[dict[str, Any]] = [{"action": "wait", "time": STEP_PAUSE_S}] * steps
    for each in [*actions, *pauses]:
        if done:
            break
        observation, _, done, info = env.step([each], 0.0)
    if mark_done and not done:
        observation, _, _, info = env.step([], 0.0, True)
    _show(env, observation, info, screenshot, as_json=as_json)


def _show(
    env: GymEnv, observation: dict[str, Any], info: dict[str, Any], screenshot: Path | None, *, as_json: bool
) -> None:
    text = observation.get("cli_stdout", {}).get("text", "")
    if screenshot is not None:
        save_screen(observation, screenshot, flag="--screenshot")
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
