"""How much of everything there is now, read off its owners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from gym_queue.master.creates import Creates
from gym_queue.master.fleet import Fleet
from gym_queue.master.records import WorkerRecord
from gym_queue.master.routes import Routes, RouteState
from gym_queue.protocol.fleet import WorkerStatus


@dataclass(frozen=True, slots=True)
class Census:
    """The fleet at one moment."""

    workers: dict[WorkerStatus, int]
    slots: int
    """Of the healthy workers."""
    used: int
    """Of these, those taken or reserved."""
    queued: int
    oldest_since: float | None
    """Monotonic seconds from which on the oldest create has waited."""
    creating: int
    ready: int
    closing: int
    records: list[tuple[WorkerRecord, WorkerStatus]]
    """Every worker."""

    @property
    def total_workers(self) -> int:
        """Workers that are not dead."""
        return sum(self.workers.values()) - self.workers[WorkerStatus.DEAD]


def take_census(
    fleet: Fleet, routes: Routes, creates: Creates, closing: Callable[[], frozenset[str]]
) -> Census:
    """Count everything: a millisecond for a thousand workers."""
    records = list(fleet.looked_at())
    statuses = Counter(status for _record, status in records)
    slots = used = 0
    for record, status in records:
        if status is WorkerStatus.HEALTHY:
            slots += record.registration.max_envs
            used += routes.count(record.registration.worker_id)
    waiting, states = creates.waiting.unplaced(), routes.states()
    ending = sum(routes.find(env_id) is not None for env_id in closing())
    return Census(
        {status: statuses[status] for status in WorkerStatus},
        slots,
        used,
        len(waiting),
        min((each.since for each in waiting), default=None),
        states[RouteState.CREATING],
        max(0, states[RouteState.READY] - ending),
        ending,
        records,
    )
