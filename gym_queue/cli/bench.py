"""``gym-anything benchmark`` and ``agents``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gym_queue.benchmark.agents.registry import list_agents
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.recorder import Frames
from gym_queue.benchmark.results import NOT_JUDGED, exit_code
from gym_queue.benchmark.run import run_benchmark
from gym_queue.errors import ModelDenied, OutputFailed, RequestInvalid
from gym_queue.log import configure_logging
from gym_queue.protocol.parse import parse_model


def benchmark(
    env: Annotated[str, typer.Argument(help="Environment folder, or the name of one that ships.")],
    task: Annotated[str | None, typer.Option(help="One task.")] = None,
    split: Annotated[
        str | None, typer.Option(help="A named split of the environment; all when not given.")
    ] = None,
    agent: Annotated[str, typer.Option(help="Agent: see gym-anything agents.")] = "ScriptedAgent",
    remote_url: Annotated[
        str | None,
        typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="Master or worker; this machine when not given."),
    ] = None,
    remote_timeout: Annotated[float, typer.Option(min=1, help="Seconds one remote call may take.")] = 300.0,
    remote_worker_reset_policy: Annotated[str, typer.Option(help="core or baseline_setup.")] = "core",
    parallel: Annotated[int, typer.Option(min=1, max=512, help="Tasks at once.")] = 1,
    steps: Annotated[int | None, typer.Option(min=1, help="Most steps of an attempt.")] = None,
    max_tasks: Annotated[int | None, typer.Option(min=1, help="Most tasks.")] = None,
    seed: Annotated[int, typer.Option(help="Given to every reset.")] = 0,
    lost_retries: Annotated[
        int, typer.Option(min=0, help="Further tries of an attempt that the infrastructure lost.")
    ] = 2,
    agent_arg: Annotated[
        list[str] | None, typer.Option(help="An option of the agent, KEY=VALUE; repeatable.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="Attempts at each task, with seeds one apart.")] = 1,
    output: Annotated[
        Path | None, typer.Option(help="Folder for results, trajectories and report; or a .json file.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --output: only what is missing.")
    ] = False,
    frames: Annotated[Frames, typer.Option(help="Screens to keep in the output folder.")] = Frames.ALL,
) -> None:
    """Run an agent over an environment's tasks.

    Exits with 0 when every attempt passed, 1 when one did not, 3 when the infrastructure or a task itself broke one or
    the output cannot be written, 2 when a flag is wrong, 130 on Ctrl-C.

    Example: gym-anything benchmark terminal_env --agent ScriptedAgent --remote-url http://localhost:5800 --parallel 4
    """
    configure_logging("WARNING")
    config = parse_model(
        BenchmarkConfig,
        {
            "env": env,
            "task": task,
            "split": split,
            "agent": agent,
            "agent_args": _pairs(agent_arg or []),
            "remote_url": remote_url,
            "remote_timeout_s": remote_timeout,
            "remote_worker_reset_policy": remote_worker_reset_policy,
            "parallel": parallel,
            "lost_retries": lost_retries,
            "steps": steps,
            "max_tasks": max_tasks,
            "seed": seed,
            "repeat": repeat,
            "output": output,
            "resume": resume,
            "frames": frames,
        },
    )
    try:
        results = run_benchmark(config, Console())
    except (ModelDenied, OutputFailed) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(NOT_JUDGED) from None
    raise typer.Exit(exit_code(results))


def agents(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the agents and their options.

    Example: gym-anything agents
    """
    found = list_agents()
    if as_json:
        typer.echo(json.dumps([agent.model_dump(mode="json") for agent in found], indent=2))
        return
    table = Table("agent", "what it does", "options (--agent-arg)")
    for agent in found:
        options = "\n".join(f"{option.name}={option.default} ({option.type})" for option in agent.options)
        what = f"{agent.description}\nNeeds {agent.needs}." if agent.needs else agent.description
        table.add_row(*map(Text, (agent.name, what, options)))
    Console().print(table)


def _pairs(texts: list[str]) -> dict[str, str]:
    """Return KEY=VALUE texts as a dict.

    Raises:
        RequestInvalid: One has no ``=``.
    """
    wrong = next((text for text in texts if "=" not in text), None)
    if wrong is not None:
        raise RequestInvalid(f"--agent-arg {wrong!r} is not KEY=VALUE")
    return dict(text.split("=", 1) for text in texts)
