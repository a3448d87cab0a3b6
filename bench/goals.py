"""The rows of the table: what is to be reached, and what was."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, TypeVar

from bench.effort import Effort

Setup = TypeVar("Setup")

TOLERANCE = 0.15
"""A goal missed by more than this share fails the run."""


class Bound(StrEnum):
    """Which side of the limit is good."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


@dataclass(frozen=True, slots=True)
class Goal:
    """One row's goal."""

    key: str
    what: str
    unit: str
    bound: Bound
    limit: float
    reference: str = ""
    """What the figure is compared with: then the limit is on the ratio of the two, not on the figure."""
    binding: bool = True
    """Missing it fails the run; absolute times of a shared machine only do when asked to."""

    @property
    def is_ratio(self) -> bool:
        """Whether the limit is on a ratio."""
        return bool(self.reference)

    @property
    def target(self) -> str:
        """The goal, in words."""
        return f"{self.bound} {self.limit:g} {'x ' + self.reference if self.is_ratio else self.unit}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was measured for one goal."""

    figures: list[float]
    """Ours, by round, in the goal's unit."""
    references: list[float] = field(default_factory=list)
    """The other's, by round."""
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Row(Generic[Setup]):
    """Goals that one measurement answers, and that measurement."""

    goals: list[Goal]
    measure: Callable[[Setup, Effort], list[Outcome]]
    """Returns an outcome for each goal."""


@dataclass(frozen=True, slots=True)
class Result(Outcome):
    """An outcome held against its goal."""

    goal: Goal = field(kw_only=True)

    @classmethod
    def of(cls, goal: Goal, outcome: Outcome) -> Result:
        """Return the two together."""
        return cls(outcome.figures, outcome.references, outcome.errors, goal=goal)

    @property
    def figure(self) -> float:
        """Ours: the median of the rounds."""
        return statistics.median(self.figures)

    @property
    def reference(self) -> float | None:
        """The other's: the median of the rounds."""
        return statistics.median(self.references) if self.references else None

    @property
    def ratios(self) -> list[float]:
        """Ours to the other's, round by round; a round in which the other's drowned in noise is left out."""
        if not self.references:
            return []
        pairs = zip(self.figures, self.references, strict=True)
        return [ours / other for ours, other in pairs if other > 0]

    @property
    def ratio(self) -> float | None:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios) if self.ratios else None

    @property
    def missed_by(self) -> float:
        """By what share of the limit the goal is missed; 0 when it is reached."""
        goal = self.goal
        value = self.ratio if goal.is_ratio else self.figure
        if value is None or self.errors:
            return 1.0
        over = value - goal.limit if goal.bound is Bound.AT_MOST else goal.limit - value
        return max(0.0, over / goal.limit)

    def fails(self, *, strict: bool) -> bool:
        """Whether the run fails by this row.

        Args:
            strict: Absolute goals count too.
        """
        return (self.goal.binding or strict or self.errors > 0) and self.missed_by > TOLERANCE

    @property
    def verdict(self) -> str:
        """Reached, or by how much not."""
        if self.errors:
            return f"{self.errors} errors"
        return "reached" if not self.missed_by else f"missed by {100 * self.missed_by:.1f} %"
