"""What one benchmark run is asked to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gym_queue.benchmark.recorder import Frames
from gym_queue.errors import RequestInvalid
from gym_queue.specs.task import SuccessMode
from gym_queue.verifiers.mode import VERIFIER_MODE
from gym_queue.verifiers.vlm.settings import CHECKLIST_PREFIX


class ChecklistOptions(BaseModel):
    """How a model judges by a checklist; what is None is left to the task, and to the worker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str | None = Field(None, min_length=1, max_length=200)
    backend: Literal["anthropic", "openai", "gemini", "local"] | None = None
    base_url: str | None = Field(None, pattern=r"^https?://[^\s?#@]+$")
    temperature: float | None = Field(None, ge=0, le=2, allow_inf_nan=False)
    max_frames: int | None = Field(None, ge=-1)
    completion_threshold: float | None = Field(None, ge=0, le=100, allow_inf_nan=False)
    integrity_threshold: float | None = Field(None, ge=0, le=1, allow_inf_nan=False)


class BenchmarkConfig(BaseModel):
    """The flags of ``gym-anything benchmark``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str
    """An env folder, the name of an environment that ships or is in ``corpus``, the folder of many, or ``all``."""
    corpus: Path | None = None
    """Folder that env folders lie in: where ``env`` is looked up, and what ``all`` means."""
    task: str | None = None
    """The one task to run; not together with ``split``."""
    split: str | None = None
    """The split to run; None with no ``task`` is every task."""
    agent: str
    """Name of the agent, as ``list_agents`` gives it."""
    agent_args: dict[str, JsonValue] = Field(default_factory=dict)
    """The agent's options; strings are read as the type that the option has."""
    model: str | None = None
    """The agent's option of this name."""
    temperature: float | None = Field(None, ge=0, allow_inf_nan=False)
    """The agent's option of this name."""
    agent_timeout_s: float | None = Field(None, ge=0, allow_inf_nan=False)
    """Longest that one turn of the agent may take; 0 is for ever, None as long as the agent's own ``timeout_s`` needs."""
    remote_url: str | None = None
    """Master or worker to run on; None runs in this process."""
    remote_timeout_s: float = Field(300.0, gt=0)
    """Longest one remote call may take."""
    remote_worker_reset_policy: Literal["core", "baseline_setup"] | None = "core"
    """``post_reset_policy`` of remote resets; None takes the worker's default."""
    remote_gone_timeout_s: float = Field(300.0, gt=0, allow_inf_nan=False)
    """Longest that a master which does not answer is waited for; then the run stops, and can be resumed."""
    use_cache: bool = False
    """Of every reset: start from a checkpoint where there is one, and keep one."""
    cache_level: Literal["pre_start", "post_start", "post_task", "default"] = "pre_start"
    """Of every reset: after which hooks the sandbox is kept."""
    use_savevm: bool = False
    """Of every reset: start from, and keep, machines that run, memory and all; refused by runners of files."""
    verifier_mode: SuccessMode | None = None
    """Who judges; None is whom each task names."""
    vlm_checklist: ChecklistOptions = ChecklistOptions()
    """The model that judges by a checklist."""
    parallel: int = Field(1, ge=1, le=1000)
    """Attempts at once."""
    steps: int | None = Field(None, ge=1)
    """Steps after which an attempt is ended and judged; None leaves it to the task's own limit."""
    max_tasks: int | None = Field(None, ge=1)
    """Run only the first so many tasks."""
    seed: int = Field(0, ge=-(2**63), lt=2**64)
    """Seed of every reset, and of agents that draw numbers."""
    lost_retries: int = Field(2, ge=0, le=100)
    """How often an attempt that was lost to the infrastructure is run again: it says nothing about the agent."""
    output: Path | None = None
    """Where results go: a folder, as docs/benchmarks.md lays it out; or a file that ends in ``.json``, for results alone."""
    exp_name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """The run's name; without ``output`` it goes to ``runs/<exp_name>``."""
    resume: bool = False
    """Go on with the run that ``output`` holds: only what is missing is run."""
    frames: Frames = Frames.ALL
    """Which screens go to the output folder."""
    repeat: int = Field(1, ge=1, le=10_000)
    """Attempts at each task; the one of index r has the seed ``seed + r``."""

    def all_agent_args(self) -> dict[str, JsonValue]:
        """Return the agent's options, those that have a flag of their own among them.

        Raises:
            RequestInvalid: One is given twice.
        """
        flags = {"model": self.model, "temperature": self.temperature}
        given = {name: value for name, value in flags.items() if value is not None}
        for name in given.keys() & self.agent_args.keys():
            raise RequestInvalid(f"the agent's option {name} is given twice: give --{name} alone")
        return {**self.agent_args, **given}

    def reset_options(self) -> dict[str, Any]:
        """Return the arguments of every reset but its seed."""
        names = ("use_cache", "cache_level", "use_savevm")
        return {name: getattr(self, name) for name in names}

    def verifier_env(self) -> dict[str, str]:
        """Return the variables that the flags set for every environment's verifier."""
        asked = self.vlm_checklist.model_dump(exclude_none=True)
        variables = {f"{CHECKLIST_PREFIX}{name.upper()}": str(value) for name, value in asked.items()}
        return variables | ({VERIFIER_MODE: self.verifier_mode} if self.verifier_mode else {})
