"""What a run and its loops say to one another: pickled, over a socket that no one else has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gym_queue.benchmark.attempt import Attempt, Key
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.errors import GymQueueError


@dataclass(frozen=True, slots=True)
class Boot:
    """To a new loop: the run that it is part of."""

    config: BenchmarkConfig = field(repr=False)
    """As given: with the keys among the agent's options, which are written nowhere."""
    folder: Path | None
    """The run's output folder."""
    scratch: Path
    """For temporary files; the run removes it when the loop has ended."""
    sys_path: tuple[str, ...]
    environ: Mapping[str, str] = field(repr=False)
    working_folder: str
    levels: Mapping[str, int]
    """What is logged, by logger."""


@dataclass(frozen=True, slots=True)
class Job:
    """To a loop: one try of an attempt."""

    key: Key
    env_dir: Path
    """On this machine."""
    place: str
    """What a cluster's workers know the folder by."""
    env_id: str
    """Of the environment to open."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """To a loop: close what is open, and end."""


@dataclass(frozen=True, slots=True)
class Turn:
    """From a loop: code of the agent begins to run, or has returned."""

    where: str | None
    """Which; None when it has returned."""


@dataclass(frozen=True, slots=True)
class Step:
    """From a loop: a step was taken."""

    steps: int
    """Of this try, so far."""


@dataclass(frozen=True, slots=True)
class Told:
    """From a loop: the agent has a line for whoever runs the benchmark."""

    text: str


@dataclass(frozen=True, slots=True)
class Closing:
    """From a loop: the try is judged, or broke, and its environment is being closed."""


@dataclass(frozen=True, slots=True)
class Result:
    """From a loop: the try has ended; the loop waits for the next."""

    attempt: Attempt
    is_lost: bool
    """Whether the infrastructure broke it, so that another try may go better."""


@dataclass(frozen=True, slots=True)
class Stop:
    """From a loop: no other attempt would go better."""

    error: GymQueueError


ToLoop = Boot | Job | Cancel
FromLoop = Turn | Step | Closing | Told | Result | Stop
