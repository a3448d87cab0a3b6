"""What was measured, against its target."""

from __future__ import annotations

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field

from gym_queue.chaos.ledger import Ledger, total


class Check(BaseModel):
    """One measurement."""

    model_config = ConfigDict(frozen=True)

    what: str
    measured: float | None
    """None: it did not happen."""
    target: str
    ok: bool
    unit: str = ""

    def __str__(self) -> str:
        return "never" if self.measured is None else f"{round(self.measured, 3):g} {self.unit}".rstrip()


def at_most(what: str, measured: float | None, limit: float, unit: str = "") -> Check:
    """Return the check that something is no more than a limit."""
    ok = measured is not None and measured <= limit
    target = f"{limit:g}" if limit == 0 else f"<= {limit:g}"
    return Check(what=what, measured=measured, target=f"{target} {unit}".rstrip(), ok=ok, unit=unit)


def at_least(what: str, measured: float | None, limit: float, unit: str = "") -> Check:
    """Return the check that something is no less than a limit."""
    ok = measured is not None and measured >= limit
    return Check(what=what, measured=measured, target=f">= {limit:g} {unit}".rstrip(), ok=ok, unit=unit)


def equal(what: str, measured: float, wanted: float) -> Check:
    """Return the check that something is just so."""
    return Check(what=what, measured=measured, target=f"{wanted:g}", ok=measured == wanted)


class Outcome(BaseModel):
    """What a scenario found."""

    model_config = ConfigDict(frozen=True)

    scenario: str
    seconds: float
    checks: list[Check]
    ledger: Ledger
    notes: list[str] = Field(default_factory=list)
    """What a reader should know: what was left out, what failed with which words."""

    @property
    def ok(self) -> bool:
        """Whether every target was met."""
        return bool(self.checks) and all(check.ok for check in self.checks)


class Findings(BaseModel):
    """One run of scenarios."""

    model_config = ConfigDict(frozen=True)

    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    seed: int
    outcomes: list[Outcome]

    @property
    def ok(self) -> bool:
        """Whether every target of every scenario was met."""
        return bool(self.outcomes) and all(outcome.ok for outcome in self.outcomes)

    @property
    def ledger(self) -> Ledger:
        """The books of all scenarios."""
        return total([outcome.ledger for outcome in self.outcomes])
