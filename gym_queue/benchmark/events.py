"""What happens while a run goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gym_queue.benchmark.attempt import Attempt, Key


@dataclass(frozen=True, slots=True)
class Started:
    """A try of an attempt began."""

    key: Key


@dataclass(frozen=True, slots=True)
class Stepped:
    """An attempt took a step."""

    key: Key
    steps: int
    """Steps so far."""


@dataclass(frozen=True, slots=True)
class Said:
    """An attempt's agent has a line for whoever runs the benchmark."""

    key: Key
    text: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """A try of an attempt was lost; another one will begin."""

    key: Key


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt ended."""

    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Passing:
    """Nothing happened but that time went by."""

    silent_s: float = 0.0
    """Seconds for which the master has not answered; 0 when it does, or there is none."""


Event = Started | Stepped | Said | Dropped | Ended | Passing
OnEvent = Callable[[Event], None]
