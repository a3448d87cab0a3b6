"""``gym-anything benchmark`` and ``agents``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gym_queue.benchmark.agents.registry import list_agents
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.recorder import Frames
from gym_queue.benchmark.results import NOT_JUDGED, exit_code
from gym_queue.benchmark.run import run_benchmark
from gym_queue.cli import benchoptions as options
from gym_queue.cli.common import USAGE
from gym_queue.errors import GymQueueError, NotFound, RequestInvalid
from gym_queue.log import configure_logging
from gym_queue.protocol.parse import parse_model

CHECKLIST = "vlm_checklist_"
"""Beginning of the flags that say how a checklist is judged."""
RENAMED = {
    "agent_arg": "agent_args",
    **{f"{name}_timeout": f"{name}_timeout_s" for name in ("agent", "remote", "remote_gone")},
}
"""Flag → field."""


def benchmark(
    env: options.Env,
    corpus: options.CorpusRoot = None,
    task: options.Task = None,
    split: options.Split = None,
    max_tasks: options.MaxTasks = None,
    agent: options.AgentName = "ScriptedAgent",
    model: options.Model = None,
    temperature: options.Temperature = None,
    agent_arg: options.AgentArg = None,
    agent_timeout: options.AgentTimeout = None,
    remote_url: options.RemoteUrl = None,
    remote_timeout: options.RemoteTimeout = 300.0,
    remote_gone_timeout: options.RemoteGoneTimeout = 300.0,
    remote_worker_reset_policy: options.ResetPolicy = "core",
    parallel: options.Parallel = 1,
    repeat: options.Repeat = 1,
    seed: options.Seed = 0,
    steps: options.Steps = None,
    lost_retries: options.LostRetries = 2,
    use_cache: options.UseCache = False,
    cache_level: options.CacheLevel = "pre_start",
    use_savevm: options.UseSavevm = False,
    verifier_mode: options.VerifierMode = None,
    vlm_checklist_model: options.ChecklistModel = None,
    vlm_checklist_backend: options.ChecklistBackend = None,
    vlm_checklist_base_url: options.ChecklistBaseUrl = None,
    vlm_checklist_temperature: options.ChecklistTemperature = None,
    vlm_checklist_max_frames: options.ChecklistMaxFrames = None,
    vlm_checklist_completion_threshold: options.ChecklistCompletion = None,
    vlm_checklist_integrity_threshold: options.ChecklistIntegrity = None,
    exp_name: options.ExpName = None,
    output: options.Output = None,
    resume: options.Resume = False,
    frames: options.FramesKept = Frames.ALL,
) -> None:
    """Run an agent over the tasks of an environment, or of many.

    Exits with 0 when every attempt passed, 1 when one did not, 3 when the infrastructure or a task itself broke one, or
    the output, the model or the master ended the run, 2 when a flag is wrong or what it names is not there, 130 on Ctrl-C.

    Example: gym-anything benchmark terminal_env --agent ScriptedAgent --remote-url http://localhost:5800 --parallel 4
    """
    flags = locals()
    configure_logging("WARNING")
    try:
        results = run_benchmark(_config(flags), Console())
    except GymQueueError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_status_of(error)) from None
    raise typer.Exit(exit_code(results))


def _status_of(error: GymQueueError) -> int:
    """Return the exit status of a run that an error ended: 1 is kept for attempts that did not pass."""
    return USAGE if isinstance(error, (RequestInvalid, NotFound)) else NOT_JUDGED


def _config(flags: Mapping[str, Any]) -> BenchmarkConfig:
    """Return what the flags ask for.

    Raises:
        RequestInvalid: One is not valid.
    """
    checklist = {
        name.removeprefix(CHECKLIST): value for name, value in flags.items() if name.startswith(CHECKLIST)
    }
    others = {
        RENAMED.get(name, name): value for name, value in flags.items() if not name.startswith(CHECKLIST)
    }
    others["agent_args"] = _pairs(others["agent_args"] or [])
    return parse_model(BenchmarkConfig, {**others, "vlm_checklist": checklist})


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
        given = "\n".join(f"{option.name}={option.default} ({option.type})" for option in agent.options)
        what = f"{agent.description}\nNeeds {agent.needs}." if agent.needs else agent.description
        table.add_row(*map(Text, (agent.name, what, given)))
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
