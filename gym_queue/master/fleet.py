"""Who is in the fleet, and who is alive. The one owner of that fact."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gym_queue.errors import WorkerNotFound
from gym_queue.master.routes import Routes, RouteState
from gym_queue.protocol.fleet import Heartbeat, Registration, WorkerEntry, WorkerStatus
from gym_queue.protocol.sessions import CreateReply

FORGET_DEAD_AFTER_S = 600.0
"""How long a dead worker is still listed."""


@dataclass(slots=True)
class WorkerRecord:
    """What the master knows of one worker; only Fleet changes it."""

    registration: Registration
    registered_at: float
    """Unix seconds."""
    seen: float
    """Monotonic seconds of its last sign of life."""
    seen_at: float
    """Unix seconds of the same."""
    sequence: int = -1
    draining: bool = False
    dead: bool = False
    cpu_percent: float | None = None
    memory_percent: float | None = None
    metrics: dict[str, Any] | None = None
    requests: int = 0
    errors: int = 0
    failures: int = 0
    """Calls in a row that did not reach it."""


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


@dataclass(frozen=True, slots=True)
class FleetTimes:
    """When a silent worker is unhealthy, then dead, and how often it should speak; seconds."""

    heartbeat_s: float = 5.0
    unhealthy_s: float = 30.0
    dead_s: float = 90.0


class Fleet:
    """The workers. Not thread-safe: it lives on the master's loop.

    Args:
        routes: Told of environments that come and go with their worker.
        times: Limits.
        on_change: Called when a slot may have come free or a worker came or went.
        on_lost: Called with the id and the queues of a worker that is gone.
        clock: Monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self,
        routes: Routes,
        times: FleetTimes,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_lost: Callable[[str, frozenset[str]], None] = lambda _id, _queues: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._routes = routes
        self.times = times
        self.on_change, self.on_lost = on_change, on_lost
        self._clock, self._wall = clock, wall
        self._workers: dict[str, WorkerRecord] = {}

    def register(self, registration: Registration) -> None:
        """Take a worker in, new or again; a worker that comes back keeps its environments until it reports."""
        now, wall = self._clock(), self._wall()
        self._workers[registration.worker_id] = WorkerRecord(registration, wall, now, wall)
        self.on_change()

    def heartbeat(self, beat: Heartbeat) -> bool:
        """Take a sign of life.

        Returns:
            False for one that is older than another that came before: it is ignored.

        Raises:
            WorkerNotFound: The worker is not registered, or counts as dead: it must register again.
        """
        record = self._workers.get(beat.worker_id)
        if record is None or record.dead:
            raise WorkerNotFound(
                f"worker {beat.worker_id} is not registered: register it again", {"action": "reregister"}
            )
        if beat.sequence is not None:
            if beat.sequence <= record.sequence:
                return False
            record.sequence = beat.sequence
        record.seen, record.seen_at, record.failures = self._clock(), self._wall(), 0
        record.cpu_percent, record.memory_percent = beat.cpu_percent, beat.memory_percent
        record.metrics = beat.metrics
        record.draining = record.draining or beat.status == "draining"
        self._reconcile(record, frozenset(beat.env_ids))
        self.on_change()
        return True

    def deregister(self, worker_id: str, why: str) -> None:
        """Let a worker go; whatever it still had is lost.

        Raises:
            WorkerNotFound: There is no such worker.
        """
        record = self._get(worker_id)
        del self._workers[worker_id]
        self._lose(record, why)

    def set_draining(self, worker_id: str, *, draining: bool) -> None:
        """Send a worker no more environments, or again.

        Raises:
            WorkerNotFound: There is no such worker.
        """
        self._get(worker_id).draining = draining
        self.on_change()

    def tick(self) -> None:
        """Declare silent workers dead and forget those long dead."""
        now = self._clock()
        for worker_id, record in list(self._workers.items()):
            silent_s = now - record.seen
            if not record.dead and silent_s > self.times.dead_s:
                record.dead = True
                self._lose(record, f"its worker {worker_id} has been silent for {silent_s:.0f} s")
            elif record.dead and silent_s > self.times.dead_s + FORGET_DEAD_AFTER_S:
                del self._workers[worker_id]

    def count_call(self, worker_id: str, *, failed: bool) -> None:
        """Count a call forwarded to a worker, and whether it got there."""
        record = self._workers.get(worker_id)
        if record is None:
            return
        record.requests += 1
        record.errors += failed
        record.failures = record.failures + 1 if failed else 0

    def status(self, worker_id: str) -> WorkerStatus:
        """Return a worker's status now.

        Raises:
            WorkerNotFound: There is no such worker.
        """
        return self._status(self._get(worker_id))

    def snapshots(self) -> tuple[WorkerSnapshot, ...]:
        """Return every worker as placement sees it."""
        return tuple(self._snapshot(record) for record in self._workers.values())

    def entries(self) -> tuple[WorkerEntry, ...]:
        """Return every worker as ``/workers/list`` shows it."""
        return tuple(self._entry(record) for record in self._workers.values())

    def _get(self, worker_id: str) -> WorkerRecord:
        record = self._workers.get(worker_id)
        if record is None:
            raise WorkerNotFound(f"there is no worker {worker_id}: GET /workers/list shows those there are")
        return record

    def _status(self, record: WorkerRecord) -> WorkerStatus:
        if record.dead:
            return WorkerStatus.DEAD
        if self._clock() - record.seen > self.times.unhealthy_s:
            return WorkerStatus.UNHEALTHY
        return WorkerStatus.DRAINING if record.draining else WorkerStatus.HEALTHY

    def _reconcile(self, record: WorkerRecord, reported: frozenset[str]) -> None:
        """Bring the routes in line with what a worker says it has."""
        worker_id, url = record.registration.worker_id, record.registration.url.rstrip("/")
        for env_id in reported:
            if self._routes.find(env_id) is None and self._routes.ended(env_id) != "closed":
                self._routes.adopt(env_id, worker_id, url)
        settled = self._clock() - 2 * self.times.heartbeat_s
        for route in self._routes.of_worker(worker_id):
            if route.env_id not in reported and route.state is RouteState.READY and route.since < settled:
                self._routes.remove(route.env_id, f"its worker {worker_id} does not have it any more")

    def _lose(self, record: WorkerRecord, why: str) -> None:
        worker_id = record.registration.worker_id
        for route in self._routes.of_worker(worker_id):
            if route.state is RouteState.READY:
                self._routes.remove(route.env_id, why)
        self.on_lost(worker_id, frozenset(record.registration.queues))
        self.on_change()

    def _snapshot(self, record: WorkerRecord) -> WorkerSnapshot:
        reg = record.registration
        runners = reg.metadata.available_runners
        return WorkerSnapshot(
            worker_id=reg.worker_id,
            url=reg.url.rstrip("/"),
            status=self._status(record),
            max_envs=reg.max_envs,
            used=self._routes.count(reg.worker_id),
            runners=None if runners is None else tuple(runners),
            queues=frozenset(reg.queues),
            cpu=reg.resources.cpu,
            mem_gb=reg.resources.mem_gb,
            gpu=reg.resources.gpu,
            cached=frozenset(reg.cached),
        )

    def _entry(self, record: WorkerRecord) -> WorkerEntry:
        reg, now = record.registration, self._clock()
        routes = self._routes.of_worker(reg.worker_id)
        live = sorted(route.env_id for route in routes if route.state is RouteState.READY)
        return WorkerEntry(
            worker_id=reg.worker_id,
            url=reg.url,
            hostname=reg.hostname,
            port=reg.port,
            max_envs=reg.max_envs,
            registered_at=record.registered_at,
            last_heartbeat=record.seen_at,
            status=self._status(record),
            env_count=len(live),
            pending_count=len(routes) - len(live),
            effective_count=len(routes),
            env_ids=live,
            error_count=record.errors,
            total_requests=record.requests,
            cpu_percent=record.cpu_percent,
            memory_percent=record.memory_percent,
            load_percent=100 * len(routes) / reg.max_envs if reg.max_envs else 100.0,
            uptime_sec=self._wall() - record.registered_at,
            last_heartbeat_ago_sec=now - record.seen,
            metadata=reg.metadata.model_dump(exclude_none=True),
            circuit_open=False,
            consecutive_failures=record.failures,
            version=reg.version,
            queues=sorted(reg.queues),
            metrics=record.metrics,
        )


def reply_of(route_reply: CreateReply | None, env_id: str, worker_id: str, worker_url: str) -> CreateReply:
    """Return the create's reply of a route, made up for one that a heartbeat brought."""
    return route_reply or CreateReply(env_id=env_id, worker_id=worker_id, worker_url=worker_url)
