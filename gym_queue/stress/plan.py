"""What a run does, to whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gym_queue.errors import RequestInvalid

RATE_CONCURRENCY = (1, 10, 50, 200, 1000)
Progress = Callable[[str, int, int], None]
"""Told what is being done, how many are done, and of how many."""


class Mode(StrEnum):
    """What is measured."""

    LATENCY = "latency"  # one step at a time, by every path in turn
    RATE = "rate"  # steps per second over concurrency
    CREATES = "creates"  # creates per second, and what dispatch adds to the worker's own opening time
    BURST = "burst"  # more creates at once than slots: all served, in order
    SESSIONS = "sessions"  # create, reset, one step, close: many at once


class Plan(BaseModel):
    """How much of it."""

    model_config = ConfigDict(frozen=True)

    mode: Mode
    envs: int = Field(8, ge=1, le=10_000)
    """Environments that steps go to; in rate, the most connections there can be."""
    rounds: int = Field(5, ge=1)
    steps: int = Field(200, ge=1)
    """Of a round of latency, by each path."""
    seconds: float = Field(3.0, gt=0)
    """A round of rate, by each path."""
    concurrency: tuple[int, ...] = ()
    """Empty takes the mode's own: for rate 1, 10, 50, 200 and 1000, up to ``envs``; 1 and 64 for creates."""
    creates: int = Field(64, ge=1)
    """Of a round of creates or burst."""
    sessions: int = Field(64, ge=1)
    """At once, in a round of sessions."""
    timeout_s: float = Field(120.0, gt=0)
    """Longest one create, session or burst may take."""


def rate_levels(plan: Plan) -> tuple[int, ...]:
    """Return at how many connections to measure: as asked, else the usual ones that the environments suffice for.

    Raises:
        RequestInvalid: There are fewer environments than connections.
    """
    if plan.concurrency and max(plan.concurrency) > plan.envs:
        raise RequestInvalid(
            f"{max(plan.concurrency)} connections step as many environments, and there are {plan.envs}: raise --envs or lower --concurrency"
        )
    return plan.concurrency or (*(level for level in RATE_CONCURRENCY if level < plan.envs), plan.envs)


@dataclass(frozen=True, slots=True)
class Target:
    """The fleet that is driven."""

    master_url: str
    token: str = field(repr=False)
    spec: dict[str, Any]
    fronts: dict[str, str] = field(default_factory=dict)
    """Worker URL → URL of the nginx in front of it."""


def null_spec(
    *, create_delay_s: float = 0.0, step_delay_s: float = 0.0, frame_bytes: int = 0
) -> dict[str, Any]:
    """Return the spec of an environment that does nothing but wait and show frames.

    Args:
        create_delay_s: How long a start takes, in seconds.
        step_delay_s: How long an action takes, in seconds.
        frame_bytes: Rough size of each PNG.
    """
    fake = {"create_delay_s": create_delay_s, "step_delay_s": step_delay_s, "frame_bytes": frame_bytes}
    return {
        "id": "null",
        "runner": "fake",
        "observation": [{"type": "rgb_screen", "resolution": [64, 64]}],
        "action": [{"type": "keyboard"}],
        "fake": fake,
    }
