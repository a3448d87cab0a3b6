"""Which failed calls are made again, for how long, and after which pause."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal

from gym_queue.errors import ConnectionFailed, Infrastructure, NoCapacity, RunnerUnavailable

BASE_PAUSE_S = 0.1
MAX_PAUSE_S = 2.0
RETRYABLE_STATUSES = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class Retries:
    """How long each kind of failure is tried again, in seconds from the first failure; 0 is not at all."""

    connect_s: float = 30.0
    """Connections that failed before a byte was sent: safe for every call."""
    reply_s: float = 0.0
    """Dropped connections and retryable replies: only for calls that may happen twice."""
    capacity_s: float = 0.0
    """No free slot, counted from the start of the call: the server has waited already."""


ONCE = Retries()
"""Calls that must not happen twice: step, reset."""
SAFE = Retries(reply_s=30.0)
"""Calls that may happen twice: GETs."""
BRIEF = Retries(connect_s=2.0)
"""Calls nobody wants to wait for: close."""


class Patience:
    """Decides over the repetitions of one call.

    Args:
        retries: What the call allows.
        started: When it began, in seconds of any clock.
        timeout_s: Its deadline from then on.
    """

    def __init__(self, retries: Retries, *, started: float, timeout_s: float) -> None:
        self._limits = {
            "connect": retries.connect_s,
            "reply": retries.reply_s,
            "capacity": retries.capacity_s,
        }
        self._started, self._deadline = started, started + timeout_s
        self._until: dict[str, float] = {}
        self._failures = 0

    def pause_s(self, error: Infrastructure, now: float) -> float | None:
        """Return how long to wait before the next try; None when there should be none.

        Args:
            error: How the call failed this time.
            now: When, by the clock of ``started``.
        """
        kind = failure_kind(error)
        if kind is None:
            return None
        self._failures += 1
        limit_s, pause_s = self._limits[kind], jitter_s(self._failures)
        self._until.setdefault(kind, (self._started if kind == "capacity" else now) + limit_s)
        allowed = limit_s > 0 and now + pause_s < min(max(self._until.values()), self._deadline)
        return pause_s if allowed else None


def failure_kind(error: Infrastructure) -> Literal["connect", "reply", "capacity"] | None:
    """Return which of the limits of Retries a failure falls under; None when it is final."""
    if isinstance(error, ConnectionFailed):
        return "reply" if error.details["sent"] else "connect"
    if not error.retryable or error.details.get("http_status") not in RETRYABLE_STATUSES:
        return None
    return "capacity" if isinstance(error, (NoCapacity, RunnerUnavailable)) else "reply"


def jitter_s(failures: int) -> float:
    """Return a random pause after so many failures: full jitter under a doubling limit."""
    limit_s = min(MAX_PAUSE_S, BASE_PAUSE_S * 2.0 ** min(failures - 1, 10))
    return random.uniform(0.0, limit_s)  # noqa: S311  spreads clients out, hides nothing
