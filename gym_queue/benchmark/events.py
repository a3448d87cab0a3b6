"""What happens while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gym_queue.benchmark.attempt import Attempt


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt began."""

    task_id: str
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Stepped:
    """An attempt took a step."""

    task_id: str
    steps: int
    """Steps so far."""
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended."""

    attempt: Attempt


Event = Started | Stepped | Ended
OnEvent = Callable[[Event], None]
