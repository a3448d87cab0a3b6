"""What one benchmark run is asked to do."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from gym_queue.benchmark.recorder import Frames


class BenchmarkConfig(BaseModel):
    """The flags of ``gym-anything benchmark``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str
    """An env folder, or the name of an environment that ships."""
    task: str | None = None
    """The one task to run; not together with ``split``."""
    split: str | None = None
    """The split to run; None with no ``task`` is every task."""
    agent: str
    """Name of the agent, as ``list_agents`` gives it."""
    agent_args: dict[str, JsonValue] = Field(default_factory=dict)
    """The agent's options; strings are read as the type that the option has."""
    remote_url: str | None = None
    """Master or worker to run on; None runs in this process."""
    remote_timeout_s: float = Field(300.0, gt=0)
    """Longest one remote call may take."""
    remote_worker_reset_policy: Literal["core", "baseline_setup"] | None = "core"
    """``post_reset_policy`` of remote resets; None takes the worker's default."""
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
    resume: bool = False
    """Go on with the run that ``output`` holds: only what is missing is run."""
    frames: Frames = Frames.ALL
    """Which screens go to the output folder."""
    repeat: int = Field(1, ge=1, le=10_000)
    """Attempts at each task; the one of index r has the seed ``seed + r``."""
