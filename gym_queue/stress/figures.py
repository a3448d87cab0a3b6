"""What is measured, and how it is summed up."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field


class Figures(BaseModel):
    """One round of one thing, summed up."""

    model_config = ConfigDict(frozen=True)

    count: int
    """What succeeded."""
    seconds: float
    """How long the round took."""
    rate: float
    """Successes per second."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    errors: dict[str, int] = Field(default_factory=dict)
    """Failures by their code on the wire."""


@dataclass(slots=True)
class Sample:
    """Durations and failures as they come in."""

    seconds: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)

    def figures(self, wall_s: float) -> Figures:
        """Sum up.

        Args:
            wall_s: How long all of it took, in seconds.
        """
        ordered = sorted(self.seconds)
        return Figures(
            count=len(ordered),
            seconds=wall_s,
            rate=len(ordered) / wall_s if wall_s else 0.0,
            p50_ms=1000 * quantile(ordered, 0.50),
            p95_ms=1000 * quantile(ordered, 0.95),
            p99_ms=1000 * quantile(ordered, 0.99),
            errors=dict(self.errors),
        )


class Line(BaseModel):
    """One thing over all rounds: a line of the report."""

    model_config = ConfigDict(frozen=True)

    what: str
    path: str
    """How calls went: master, worker (straight), nginx."""
    concurrency: int
    rounds: list[Figures]

    def median(self, name: str) -> float:
        """Return the median over the rounds of one of Figures' numbers."""
        return float(statistics.median(getattr(figures, name) for figures in self.rounds))

    @property
    def errors(self) -> Counter[str]:
        """Failures of all rounds by code."""
        return sum((Counter(figures.errors) for figures in self.rounds), Counter())


class Ratio(BaseModel):
    """Two paths against each other, taken round by round."""

    model_config = ConfigDict(frozen=True)

    what: str
    """Such as ``step p50, master / worker, concurrency 1``."""
    rounds: list[float]

    @property
    def median(self) -> float:
        """The figure that counts on a machine that is shared."""
        return statistics.median(self.rounds)


def ratio(name: str, above: Line, below: Line) -> Ratio:
    """Return one number of two lines against each other; a round where ``below`` is 0 is left out.

    Args:
        name: A field of Figures.
        above: Over the bar.
        below: Under it.
    """
    pairs = zip(above.rounds, below.rounds, strict=True)
    rounds = [getattr(a, name) / getattr(b, name) for a, b in pairs if getattr(b, name)]
    label = name.removesuffix("_ms")
    what = f"{above.what} {label}, {above.path} / {below.path}, concurrency {above.concurrency}"
    return Ratio(what=what, rounds=rounds or [math.nan])


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` (0 to 1) of sorted values lie, by nearest rank; 0 when there are none."""
    if not ordered:
        return 0.0
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
