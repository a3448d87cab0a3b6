"""Who is in the fleet, and who is alive. The one owner of that fact."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass

from gym_queue.errors import WorkerNotFound
from gym_queue.master.records import WorkerRecord, WorkerSnapshot, entry_of, snapshot_of
from gym_queue.master.routes import Routes, RouteState
from gym_queue.protocol.fleet import Heartbeat, Registration, WorkerEntry, WorkerStatus

FORGET_DEAD_AFTER_S = 600.0
"""How long a dead worker is still listed."""


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
        on_lost: Called with the id of a worker whose process is gone, and its queues, unless a new process
            under the same id consumes them.
        on_stray: Called with an environment that a worker reports and nobody wants, the worker's id and URL.
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
        on_stray: Callable[[str, str, str], None] = lambda _env_id, _id, _url: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._routes = routes
        self.times = times
        self.on_change, self.on_lost, self.on_stray = on_change, on_lost, on_stray
        self._clock, self._wall = clock, wall
        self._workers: dict[str, WorkerRecord] = {}
        self._processes = itertools.count()

    def register(self, registration: Registration) -> None:
        """Take a worker in, new or again.

        The same process keeps all it had. A new one under a known id gets nothing of what was on the way to the
        old one, and of its environments those that it reports.
        """
        now, wall = self._clock(), self._wall()
        worker_id = registration.worker_id
        old = self._workers.get(worker_id)
        if old is not None and old.is_process_of(registration):
            old.registration, old.dead = registration, False
            old.seen, old.seen_at, old.failures = now, wall, 0
        else:
            record = WorkerRecord(registration, next(self._processes), wall, now, wall)
            self._workers[worker_id] = record
            if old is not None:
                routes = self._routes.of_worker(worker_id)
                record.inherited = frozenset(r.env_id for r in routes if r.state is RouteState.READY)
                self.on_lost(worker_id, frozenset())
        self.on_change()

    def rival_url(self, registration: Registration) -> str | None:
        """Return where another worker, alive a moment ago, serves under the id of this registration."""
        record = self._workers.get(registration.worker_id)
        if record is None or record.url == registration.url.rstrip("/"):
            return None  # two processes cannot serve at one address: the old one is gone
        fresh = self._clock() - record.seen < 2 * self.times.heartbeat_s
        return record.url if fresh and not record.dead else None

    def process(self, worker_id: str) -> int | None:
        """Return what tells a worker's process from earlier ones under its id; None when there is no such worker."""
        record = self._workers.get(worker_id)
        return None if record is None else record.process

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
        return tuple(
            snapshot_of(record, self._status(record), used=self._routes.count(worker_id))
            for worker_id, record in self._workers.items()
        )

    def entries(self) -> tuple[WorkerEntry, ...]:
        """Return every worker as ``/workers/list`` shows it."""
        now, wall = self._clock(), self._wall()
        return tuple(
            entry_of(record, self._status(record), self._routes.of_worker(worker_id), now=now, wall=wall)
            for worker_id, record in self._workers.items()
        )

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
        for env_id in reported:
            self._take_report(record, env_id)
        worker_id = record.registration.worker_id
        settled = self._clock() - 2 * self.times.heartbeat_s
        inherited, record.inherited = record.inherited, frozenset()
        for route in self._routes.of_worker(worker_id):
            if route.env_id in reported or route.state is not RouteState.READY:
                continue
            if route.env_id in inherited:
                self._routes.remove(route.env_id, f"its worker {worker_id} was started anew without it")
            elif route.since < settled:
                self._routes.remove(route.env_id, f"its worker {worker_id} does not have it any more")

    def _take_report(self, record: WorkerRecord, env_id: str) -> None:
        """Take one environment that a worker says it has."""
        worker_id, url = record.registration.worker_id, record.url
        route = self._routes.find(env_id)
        if route is None:
            if self._routes.is_unwanted(env_id, worker_id):
                self.on_stray(env_id, worker_id, url)
            else:
                self._routes.adopt(env_id, worker_id, url)
        elif (route.worker_id, route.worker_url) == (worker_id, url):
            return
        elif worker_id == route.worker_id or url == route.worker_url:
            if route.state is RouteState.READY:
                self._routes.move(route, worker_id, url)
        else:
            self.on_stray(env_id, worker_id, url)

    def _lose(self, record: WorkerRecord, why: str) -> None:
        worker_id = record.registration.worker_id
        for route in self._routes.of_worker(worker_id):
            if route.state is RouteState.READY:
                self._routes.remove(route.env_id, why)
        self.on_lost(worker_id, frozenset(record.registration.queues))
        self.on_change()
