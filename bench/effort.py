"""How long is measured, and in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Measure(Protocol[T_co]):
    """One measurement."""

    def __call__(self, *, seconds: float) -> T_co:
        """Measure for some seconds."""


@dataclass(frozen=True, slots=True)
class Effort:
    """Rounds, and seconds of each measurement in one."""

    rounds: int
    seconds: float
    tell: Callable[[str], None]
    """Told what is going on."""

    def finer(self, times: int) -> Effort:
        """Return the same effort cut into more and shorter rounds: small differences need many turns."""
        return replace(self, rounds=self.rounds * times, seconds=self.seconds / times)

    def in_turn(self, ways: Mapping[str, Measure[T]]) -> list[dict[str, T]]:
        """Measure every way in each round, so that a drift of the machine hits all alike; after a warm-up of a second."""
        for measure in ways.values():
            measure(seconds=1)
        found = []
        for number in range(self.rounds):
            self.tell(f"round {number + 1} of {self.rounds}")
            found.append({name: measure(seconds=self.seconds) for name, measure in ways.items()})
        return found
