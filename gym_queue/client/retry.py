"""Which failed calls are made again, for how long, and after which pause."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from gym_queue.errors import (
    ConnectionFailed,
    Infrastructure,
    NoCapacity,
    RunnerFailed,
    RunnerUnavailable,
    TlsFailed,
)

BASE_PAUSE_S = 0.05
MAX_PAUSE_S = 2.0
MAX_UNREACHABLE_PAUSE_S = 0.5
"""A server that is out of reach may be back any moment: asking costs it nothing until then."""
RETRYABLE_STATUSES = frozenset({502, 503, 504})

Kind = Literal["connect", "reply", "capacity", "runner"]


@dataclass(frozen=True, slots=True)
class Retries:
    """How long each kind of failure is tried again, in seconds from the first failure; 0 is not at all.

    The call's own deadline limits them all.
    """

    connect_s: float = math.inf
    """Failures before the call reached who carries it out: safe for every call."""
    reply_s: float = 0.0
    """Dropped connections and retryable replies: only for calls that may be sent twice."""
    capacity_s: float = 0.0
    """No free slot, counted from the start of the call: the server has waited already."""
    runner_s: float = 0.0
    """A sandbox that failed: only for calls that may be *carried out* twice."""


RUNNER_S = 30.0
ONCE = Retries()
"""Calls that must not happen twice, of a server that cannot tell a repetition."""
KEYED = Retries(reply_s=math.inf, capacity_s=math.inf)
"""Calls with a key, by which the server tells a repetition from a new call: it is carried out once."""
SAFE = Retries(reply_s=math.inf, capacity_s=math.inf, runner_s=RUNNER_S)
"""Calls that may happen twice: GETs."""
BRIEF = Retries(connect_s=2.0)
"""Calls nobody wants to wait for."""


class Patience:
    """Decides over the repetitions of one call.

    Args:
        retries: What the call allows.
        started: When it began, in seconds of any clock.
        timeout_s: Its deadline from then on.
    """

    def __init__(self, retries: Retries, *, started: float, timeout_s: float) -> None:
        self._limits: dict[Kind, float] = {
            "connect": retries.connect_s,
            "reply": retries.reply_s,
            "capacity": retries.capacity_s,
            "runner": retries.runner_s,
        }
        self._started, self._deadline = started, started + timeout_s
        self._until: dict[Kind, float] = {}
        self._failures: Counter[Kind] = Counter()

    def pause_s(self, error: Infrastructure, now: float) -> float | None:
        """Return how long to wait before the next try; None when there should be none.

        Args:
            error: How the call failed this time.
            now: When, by the clock of ``started``.
        """
        kind = failure_kind(error)
        if kind is None:
            return None
        self._failures[kind] += 1
        is_unreachable = isinstance(error, ConnectionFailed)
        cap_s = MAX_UNREACHABLE_PAUSE_S if is_unreachable else MAX_PAUSE_S
        limit_s, pause_s = self._limits[kind], _asked_pause_s(error) + jitter_s(self._failures[kind], cap_s)
        self._until.setdefault(kind, (self._started if kind == "capacity" else now) + limit_s)
        allowed = limit_s > 0 and now + pause_s < min(max(self._until.values()), self._deadline)
        return pause_s if allowed else None


def failure_kind(error: Infrastructure) -> Kind | None:
    """Return which of the limits of Retries a failure falls under; None when it is final."""
    if isinstance(error, TlsFailed):
        return None
    if isinstance(error, ConnectionFailed):
        return "reply" if error.details.get("sent", True) else "connect"
    if not error.retryable or error.details.get("http_status") not in RETRYABLE_STATUSES:
        return None
    if isinstance(error, RunnerUnavailable) or error.details.get("hopeless") or error.details.get("replayed"):
        return None  # no repetition will be answered otherwise
    if error.details.get("sent") is False:  # the master did not reach the worker
        return "connect"
    if isinstance(error, NoCapacity):
        return "capacity"
    return "runner" if isinstance(error, RunnerFailed) else "reply"


def jitter_s(failures: int, cap_s: float = MAX_PAUSE_S) -> float:
    """Return a random pause after so many failures: full jitter under a doubling limit."""
    limit_s = min(cap_s, BASE_PAUSE_S * 2.0 ** min(failures - 1, 10))
    return random.uniform(0.0, limit_s)  # noqa: S311  spreads clients out, hides nothing


def _asked_pause_s(error: Infrastructure) -> float:
    """Return the seconds that the server asks to wait at least: its Retry-After."""
    asked = error.details.get("retry_after_s")
    return max(0.0, float(asked)) if isinstance(asked, int | float) and math.isfinite(asked) else 0.0
