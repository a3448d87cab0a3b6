"""The workers as rows of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gym_queue.master.api.attention import why_sick
from gym_queue.master.fleet import Fleet
from gym_queue.master.records import WorkerRecord
from gym_queue.master.routes import Routes
from gym_queue.names import RUNNERS
from gym_queue.protocol.fleet import WorkerStatus
from gym_queue.stats.nodes import NodeStats
from gym_queue.stats.taskrecord import NODE_PREFIX

OF_CELERY = ("active", "processed", "succeeded", "failed", "retried", "revoked")
OWN = (
    *("worker_id", "hostname", "url", "status", "version", "slots", "used", "starting", "cpu_percent"),
    *("memory_percent", "heartbeat_age_s", "registered_at", "draining", "requests", "errors"),
)
SORTS = (*OWN, "load", *OF_CELERY)
SHOWN = (*OWN, "runners", "celery", "why")
SEARCHED = ("worker_id", "hostname", "url", "status", "version", "runners", "why")
FILTERS = {"status": "status", "runner": "runners"}
CHOICES = {"status": tuple(WorkerStatus), "runner": tuple(RUNNERS)}
SHOWN_RUNNERS = 50


def _of_celery(name: str) -> property:
    return property(lambda row: row.celery[name])


@dataclass(frozen=True, slots=True)
class WorkerRow:
    """One worker; what costs something is worked out where it is sorted by, searched or shown."""

    record: WorkerRecord
    status: WorkerStatus
    used: int
    starting: int
    now: float
    nodes: NodeStats
    worker_id: str
    slots: int
    cpu_percent: float | None
    memory_percent: float | None
    registered_at: float
    draining: bool
    requests: int
    """Calls that the master forwarded to it."""
    errors: int
    """Of these, those that did not get there."""

    @property
    def hostname(self) -> str:
        """Of its machine."""
        return self.record.registration.hostname

    @property
    def url(self) -> str:
        """Where it serves."""
        return self.record.registration.url

    @property
    def version(self) -> str:
        """Of its program."""
        return self.record.registration.version

    @property
    def runners(self) -> list[str]:
        """What it runs environments by."""
        return (self.record.registration.metadata.available_runners or [])[:SHOWN_RUNNERS]

    @property
    def heartbeat_age_s(self) -> float:
        """How long it has been silent."""
        return round(self.now - self.record.seen, 3)

    @property
    def why(self) -> str | None:
        """Why it takes nothing."""
        return why_sick(self.record, self.status, self.now)

    @property
    def celery(self) -> dict[str, Any]:
        """What Celery's events tell of it."""
        return self.nodes.of(NODE_PREFIX + self.worker_id)

    @property
    def load(self) -> float | None:
        """Of the last minute."""
        load: list[float] | None = self.celery["load"]
        return load[0] if load else None

    active, processed = _of_celery("active"), _of_celery("processed")
    succeeded, failed = _of_celery("succeeded"), _of_celery("failed")
    retried, revoked = _of_celery("retried"), _of_celery("revoked")


def worker_rows(fleet: Fleet, routes: Routes, nodes: NodeStats, now: float) -> list[WorkerRow]:
    """Return every worker.

    Args:
        fleet: The workers.
        routes: How many environments each has.
        nodes: What Celery tells of each.
        now: Monotonic seconds.
    """
    rows = []
    for record, status in fleet.looked_at():
        worker_id = record.registration.worker_id
        rows.append(
            WorkerRow(
                record,
                status,
                routes.count(worker_id),
                routes.creating_count(worker_id),
                now,
                nodes,
                worker_id,
                record.registration.max_envs,
                record.cpu_percent,
                record.memory_percent,
                record.registered_at,
                record.draining,
                record.requests,
                record.errors,
            )
        )
    return rows


def show_worker(row: WorkerRow) -> dict[str, Any]:
    """Return a row as it is shown."""
    shown = {name: getattr(row, name) for name in SHOWN}
    return {**shown, "resources": row.record.registration.resources.model_dump()}
