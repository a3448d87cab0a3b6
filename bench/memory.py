"""What the master's memory grows to with many routed environments."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from bench.effort import Effort
from bench.fleets import Started, started
from bench.goals import Bound, Goal, Outcome, Row

ENVS, BEATS = 10_000, 5
NOWHERE = "http://127.0.0.1:9"


@contextmanager
def routing() -> Iterator[Started]:
    """Start a master alone."""
    with started(0) as fleet:
        yield fleet


def rows() -> list[Row[Started]]:
    """Return the rows measured here."""
    what = "memory of the master's process, 10,000 routed envs"
    return [Row([Goal("memory", what, "MB", Bound.AT_MOST, 100)], _memory)]


def _memory(fleet: Started, effort: Effort) -> list[Outcome]:
    """Report the same environments several times, as a worker does; read what is resident in between."""
    env_ids = [str(uuid.uuid4()) for _ in range(ENVS)]
    fleet.adopt(NOWHERE, env_ids, "bench")
    found = []
    for number in range(BEATS):
        fleet.beat("bench", env_ids)
        found.append(psutil.Process(fleet.pids["master"]).memory_info().rss / 1e6)
        effort.tell(f"heartbeat {number + 1} of {BEATS}")
    routed = fleet.health()["total_envs"]
    return [Outcome([max(found)], errors=int(routed != ENVS))]
