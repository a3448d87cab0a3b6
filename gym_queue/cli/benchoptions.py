"""Options of ``gym-anything benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gym_queue.benchmark.recorder import Frames

Env = Annotated[
    str,
    typer.Argument(
        help="Environment folder, the name of one that ships, the folder of many, or all.", show_default=False
    ),
]
CorpusRoot = Annotated[
    Path | None, typer.Option(help="Folder of environments: where ENV is looked up, and what all means.")
]
Task = Annotated[str | None, typer.Option(help="One task.")]
Split = Annotated[
    str | None, typer.Option(help="A named split of the environment, or of its corpus; all when not given.")
]
MaxTasks = Annotated[int | None, typer.Option(min=1, help="Most tasks, over all environments.")]
AgentName = Annotated[str, typer.Option(help="Agent: see gym-anything agents.")]
Model = Annotated[str | None, typer.Option(help="The agent's option model.")]
Temperature = Annotated[float | None, typer.Option(min=0, help="The agent's option temperature.")]
AgentArg = Annotated[
    list[str] | None, typer.Option(help="An option of the agent, KEY=VALUE; repeatable.", metavar="KEY=VALUE")
]
AgentTimeout = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Seconds one turn of the agent may take: 600 when not given, or what its option timeout_s needs; 0 is for ever.",
    ),
]
RemoteUrl = Annotated[
    str | None,
    typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="Master or worker; this machine when not given."),
]
RemoteTimeout = Annotated[float, typer.Option(min=1, help="Seconds one remote call may take.")]
RemoteGoneTimeout = Annotated[
    float, typer.Option(min=1, help="Seconds a master that does not answer is waited for.")
]
ResetPolicy = Annotated[str, typer.Option(help="core or baseline_setup.")]
Parallel = Annotated[int, typer.Option(min=1, max=512, help="Attempts at once, each in its own process.")]
Steps = Annotated[int | None, typer.Option(min=1, help="Most steps of an attempt.")]
Seed = Annotated[int, typer.Option(help="Given to every reset.")]
Repeat = Annotated[int, typer.Option(min=1, help="Attempts at each task, with seeds one apart.")]
LostRetries = Annotated[
    int, typer.Option(min=0, help="Further tries of an attempt that the infrastructure lost.")
]
UseCache = Annotated[
    bool, typer.Option("--use-cache", help="Reset from a checkpoint where there is one, and keep one.")
]
CacheLevel = Annotated[str, typer.Option(help="pre_start, post_start, post_task, or default: the spec's.")]
UseSavevm = Annotated[bool, typer.Option("--use-savevm", help="Reset to machines that run: of qemu.")]
VerifierMode = Annotated[
    str | None, typer.Option(help="Who judges: program, image_match, multi or vlm_checklist; the task's own.")
]
ChecklistModel = Annotated[str | None, typer.Option(help="Model that judges by a checklist.")]
ChecklistBackend = Annotated[str | None, typer.Option(help="anthropic, openai, gemini or local.")]
ChecklistBaseUrl = Annotated[str | None, typer.Option(help="Where that model's API begins.")]
ChecklistTemperature = Annotated[float | None, typer.Option(min=0, max=2, help="Of that model.")]
ChecklistMaxFrames = Annotated[int | None, typer.Option(min=-1, help="Most frames it is shown; -1 for all.")]
ChecklistCompletion = Annotated[
    float | None, typer.Option(min=0, max=100, help="Points of completion that pass: 80 when not given.")
]
ChecklistIntegrity = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Part of the integrity items that must pass: 0.75 when not given."),
]
ExpName = Annotated[
    str | None, typer.Option(help="Name of the run; without --output it goes to runs/<name>.")
]
Output = Annotated[
    Path | None, typer.Option(help="Folder for results, trajectories and report; or a .json file.")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the run in --output: only what is missing.")
]
FramesKept = Annotated[Frames, typer.Option(help="Screens to keep in the output folder.")]
