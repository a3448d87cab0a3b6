"""The fleet at a glance."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gym_queue.master.api.attention import BrokerState, notices, shown_broker
from gym_queue.master.api.census import Census
from gym_queue.master.api.counters import Totals
from gym_queue.master.api.sampler import Sampler, percentiles
from gym_queue.master.creates import Creates
from gym_queue.protocol.fleet import WorkerStatus
from gym_queue.version import __version__


class Overview:
    """Puts the numbers together, each from its owner. Lives on the master's loop.

    Args:
        census: Counts what there is.
        creates: Those that wait.
        sampler: Knows what has happened.
        broker: Tells of the broker; never blocks.
        started_at: Unix seconds.
        clock: Monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self,
        census: Callable[[], Census],
        creates: Creates,
        sampler: Sampler,
        broker: Callable[[], BrokerState],
        *,
        started_at: float,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._census, self._creates, self._sampler, self._broker = census, creates, sampler, broker
        self.started_at, self._clock, self._wall = started_at, clock, wall
        self.health_version = 0
        """Grows when workers become healthy or sick; noticed when the overview is made."""
        self._statuses: dict[WorkerStatus, int] = {}

    def show(self) -> dict[str, Any]:
        """Return what ``/api/overview`` answers."""
        census, totals, broker = self._census(), self._sampler.totals(), self._broker()
        self.health_version += census.workers != self._statuses
        self._statuses = census.workers
        waiting, calls = self._creates.waiting.unplaced(), self._sampler.last_minute(totals)
        oldest = census.oldest_since
        return {
            "as_of": round(self._wall(), 3),
            "started_at": self.started_at,
            "version": __version__,
            "broker": shown_broker(broker),
            "workers": {
                "total": sum(census.workers.values()),
                **{str(status): census.workers[status] for status in WorkerStatus},
            },
            "slots": {"total": census.slots, "used": census.used},
            "envs": {
                "queued": census.queued,
                "creating": census.creating,
                "ready": census.ready,
                "closing": census.closing,
            },
            "queue": {
                "length": census.queued,
                "oldest_s": None if oldest is None else round(self._clock() - oldest, 1),
            },
            "rates": self._sampler.rates,
            "totals": _shown_totals(totals),
            **self._latencies(totals),
            "attention": notices(census.records, waiting, broker, calls, now=self._clock()),
        }

    def _latencies(self, totals: Totals) -> dict[str, Any]:
        window_s, found = self._sampler.window(totals)
        shown = {what: {"count": each.count, **percentiles(each)} for what, each in found.items()}
        return {"window_s": round(window_s, 1), "latency": shown}


def _shown_totals(totals: Totals) -> dict[str, int]:
    return {
        "created": totals.created,
        "closed": totals.closed,
        "lost": totals.lost,
        "failed": totals.failed,
        "steps": totals.steps,
        "errors": totals.errors,
    }
