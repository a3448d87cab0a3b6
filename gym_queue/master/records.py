"""What the master knows of one worker, and how others see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gym_queue.master.facts import WorkerFact
from gym_queue.master.routes import Route, RouteState
from gym_queue.protocol.fleet import Registration, WorkerEntry, WorkerStatus


@dataclass(frozen=True, slots=True)
class FleetTimes:
    """When a silent worker is unhealthy, then dead, and how often it should speak; seconds."""

    heartbeat_s: float = 5.0
    unhealthy_s: float = 30.0
    dead_s: float = 90.0


@dataclass(slots=True)
class WorkerRecord:
    """What the master knows of one worker; only Fleet changes it."""

    registration: Registration
    process: int
    """Tells the processes that bore this id apart."""
    registered_at: float
    """Unix seconds."""
    seen: float
    """Monotonic seconds of its last sign of life."""
    seen_at: float
    """Unix seconds of the same."""
    heard: float = 0.0
    """Monotonic seconds of its last sign of any kind, of Celery too."""
    signalled: float = 0.0
    """Monotonic seconds of its last word on Celery's event stream; 0 when there was none."""
    probed: float = 0.0
    """Monotonic seconds of when it was last asked whether it lives."""
    unanswered: int = 0
    """How often in a row it did not answer that; anything but 0 keeps new work away."""
    has_beaten: bool = False
    """Whether it ever sent a heartbeat; before that it may not listen yet."""
    is_restored: bool = False
    """An earlier master wrote it down, and it has said nothing to this one yet."""
    sequence: int = -1
    draining: bool = False
    dead: bool = False
    inherited: frozenset[str] = frozenset()
    """Environments of the process that bore this id before: lost unless the first heartbeat reports them."""
    cpu_percent: float | None = None
    memory_percent: float | None = None
    metrics: dict[str, Any] | None = None
    requests: int = 0
    errors: int = 0
    failures: int = 0
    """Calls in a row that did not reach it."""
    shown: tuple[WorkerSnapshot, Registration] | None = None
    """Its last snapshot, and the registration that is made of."""

    @property
    def url(self) -> str:
        """Where it serves, without a slash at the end."""
        return self.registration.url.rstrip("/")

    def snapshot(self, status: WorkerStatus, *, used: int, starting: int) -> WorkerSnapshot:
        """Return this worker as placement sees it, made anew only when it has changed: it is asked for often."""
        shown, registration = self.shown or (None, None)
        if (
            shown is None
            or registration is not self.registration
            or (shown.status, shown.used, shown.starting) != (status, used, starting)
        ):
            shown = snapshot_of(self.registration, status, used=used, starting=starting)
            self.shown = shown, self.registration
        return shown

    def may_be_from(self, pid: int | None) -> bool:
        """Return whether a message may come from this record's process: unless both say which, it may."""
        mine = self.registration.metadata.pid
        return pid is None or mine is None or pid == mine

    def is_process_of(self, registration: Registration) -> bool:
        """Return whether a registration comes from the process that made this record."""
        mine, other = self.registration, registration
        return (self.url, mine.metadata.pid) == (other.url.rstrip("/"), other.metadata.pid)


def restored_record(
    fact: WorkerFact, process: int, *, now: float, wall: float, silent_s: float
) -> WorkerRecord:
    """Return a worker that an earlier master wrote down; a dead one counts as silent for ``silent_s`` seconds."""
    return WorkerRecord(
        fact.registration,
        process,
        fact.registered_at,
        now - silent_s if fact.dead else now,
        wall,
        draining=fact.draining,
        dead=fact.dead,
        heard=now,
        has_beaten=True,
        is_restored=True,
    )


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """What placement sees of one worker, at one moment."""

    worker_id: str
    url: str
    status: WorkerStatus
    max_envs: int
    used: int
    """Slots taken or reserved."""
    runners: tuple[str, ...] | None
    """None means it did not say: any."""
    queues: frozenset[str]
    cpu: float | None
    mem_gb: float | None
    gpu: int | None
    cached: frozenset[str] = field(default_factory=frozenset)
    starting: int = 0
    """Slots reserved for creates that are on their way."""
    max_starting: int | None = None
    """None means as many as there are slots."""


def snapshot_of(
    reg: Registration, status: WorkerStatus, *, used: int = 0, starting: int = 0
) -> WorkerSnapshot:
    """Return a worker as placement sees it."""
    runners = reg.metadata.available_runners
    return WorkerSnapshot(
        worker_id=reg.worker_id,
        url=reg.url.rstrip("/"),
        status=status,
        max_envs=reg.max_envs,
        used=used,
        runners=None if runners is None else tuple(runners),
        queues=frozenset(reg.queues),
        cpu=reg.resources.cpu,
        mem_gb=reg.resources.mem_gb,
        gpu=reg.resources.gpu,
        cached=frozenset(reg.cached),
        starting=starting,
        max_starting=reg.max_starting,
    )


def entry_of(
    record: WorkerRecord, status: WorkerStatus, routes: Sequence[Route], *, now: float, wall: float
) -> WorkerEntry:
    """Return a worker as ``/workers/list`` shows it.

    Args:
        record: The worker.
        status: Its status now.
        routes: All that lead to it.
        now: Monotonic seconds.
        wall: Unix seconds.
    """
    reg = record.registration
    live = sorted(route.env_id for route in routes if route.state is RouteState.READY)
    return WorkerEntry(
        worker_id=reg.worker_id,
        url=reg.url,
        hostname=reg.hostname,
        port=reg.port,
        max_envs=reg.max_envs,
        registered_at=record.registered_at,
        last_heartbeat=record.seen_at,
        status=status,
        env_count=len(live),
        pending_count=len(routes) - len(live),
        effective_count=len(routes),
        env_ids=live,
        error_count=record.errors,
        total_requests=record.requests,
        cpu_percent=record.cpu_percent,
        memory_percent=record.memory_percent,
        load_percent=100 * len(routes) / reg.max_envs if reg.max_envs else 100.0,
        uptime_sec=wall - record.registered_at,
        last_heartbeat_ago_sec=now - record.seen,
        metadata=reg.metadata.model_dump(exclude_none=True),
        circuit_open=False,
        consecutive_failures=record.failures,
        version=reg.version,
        queues=sorted(reg.queues),
        metrics=record.metrics,
    )
