"""Who is in the fleet, and who is alive. The one owner of that fact."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping

from pydantic import ValidationError

from gym_queue.errors import WorkerNotFound
from gym_queue.master.doubts import Circumstances, is_doubtful
from gym_queue.master.facts import GONE, WORKER, NoNotes, Notes, WorkerFact
from gym_queue.master.memory import Memory
from gym_queue.master.records import FleetTimes as FleetTimes
from gym_queue.master.records import WorkerRecord, WorkerSnapshot, entry_of, restored_record, snapshot_of
from gym_queue.master.reports import Reports
from gym_queue.master.routes import Routes, RouteState
from gym_queue.protocol.fleet import Heartbeat, Registration, WorkerEntry, WorkerStatus

FORGET_DEAD_AFTER_S = 600.0
"""How long a dead worker is still listed."""
GONE_KEPT = 1000
"""Workers that left whose powers are remembered."""
STARTING_S = 30.0
"""How long a worker may take from its registration to its first heartbeat; till then it may not listen yet."""
SILENT_AFTER = 2
"""Unanswered questions after which what is on its way to a worker may be sent elsewhere."""
RECOVERY_BEATS = 3
"""For how many heartbeats after a restart an unknown environment may be one that a worker is yet to report."""


class Fleet:
    """The workers. Not thread-safe: it lives on the master's loop.

    Args:
        routes: Told of environments that come and go with their worker.
        times: Limits.
        on_change: Called when a slot may have come free or a worker came or went.
        on_lost: Called with the id of a worker whose process is gone, and its queues, unless a new process
            under the same id consumes them.
        on_stray: Called with an environment that a worker reports and nobody wants, the worker's id and URL.
        on_suspect: Called with the id of a worker that should be asked at once whether it lives.
        clock: Monotonic seconds.
        wall: Unix seconds.
        notes: Where what must outlive this master is written down.
    """

    def __init__(
        self,
        routes: Routes,
        times: FleetTimes,
        *,
        on_change: Callable[[], None] = lambda: None,
        on_lost: Callable[[str, frozenset[str]], None] = lambda _id, _queues: None,
        on_stray: Callable[[str, str, str], None] = lambda _env_id, _id, _url: None,
        on_suspect: Callable[[str], None] = lambda _id: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        notes: Notes | None = None,
    ) -> None:
        self._routes = routes
        self.times = times
        self.on_change, self.on_lost, self.on_stray = on_change, on_lost, on_stray
        self.on_suspect = on_suspect
        self._clock, self._wall = clock, wall
        self._notes = notes or NoNotes()
        self._gone = Memory(GONE, Registration, self._notes, limit=GONE_KEPT)
        self._reports = Reports(routes, heartbeat_s=times.heartbeat_s, clock=clock)
        self._newest_signal = 0.0
        self._recovering_until = 0.0
        self._workers: dict[str, WorkerRecord] = {}
        self._processes = itertools.count()
        self.version = 0
        """Grows when workers come, go, drain or die; not with what their heartbeats tell."""

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
            old.seen, old.seen_at, old.heard, old.failures, old.unanswered = now, wall, now, 0, 0
            self._note(old)
        else:
            record = WorkerRecord(registration, next(self._processes), wall, now, wall, heard=now)
            self._workers[worker_id] = record
            self._gone.pop(worker_id)
            self._note(record)
            if old is not None:
                routes = self._routes.of_worker(worker_id)
                record.inherited = frozenset(r.env_id for r in routes if r.state is RouteState.READY)
                self.on_lost(worker_id, frozenset())
                if "env_ids" in registration.model_fields_set:  # else its heartbeat says what it has
                    has = frozenset(registration.env_ids)
                    self._reports.take_all(record, has, frozenset(), self.on_stray)
        for env_id in registration.env_ids:
            self._reports.take(self._workers[worker_id], env_id, self.on_stray)
        self.on_change()

    def rival_url(self, registration: Registration) -> str | None:
        """Return where another worker, alive a moment ago, serves under the id of this registration."""
        record = self._workers.get(registration.worker_id)
        if record is None or record.url == registration.url.rstrip("/"):
            return None  # two processes cannot serve at one address: the old one is gone
        fresh = self._clock() - record.seen < 2 * self.times.heartbeat_s
        return record.url if fresh and not record.dead else None

    def url(self, worker_id: str) -> str | None:
        """Return where a worker serves; None when there is none that lives."""
        record = self._workers.get(worker_id)
        return None if record is None or record.dead else record.url

    def process(self, worker_id: str) -> int | None:
        """Return what tells a worker's process from earlier ones under its id; None when there is no such worker."""
        record = self._workers.get(worker_id)
        return None if record is None else record.process

    def heartbeat(self, beat: Heartbeat) -> bool:
        """Take a sign of life.

        Returns:
            False for one that is older than another that came before, or of an earlier process under this id:
            it is ignored.

        Raises:
            WorkerNotFound: The worker is not registered, or counts as dead: it must register again.
        """
        record = self._workers.get(beat.worker_id)
        if record is None or record.dead:
            raise WorkerNotFound(
                f"worker {beat.worker_id} is not registered: register it again", {"action": "reregister"}
            )
        if not record.may_be_from(beat.pid):
            return False
        if beat.sequence is not None:
            if beat.sequence <= record.sequence:
                return False
            record.sequence = beat.sequence
        before = self._status(record), self._routes.of_worker(beat.worker_id)
        record.seen, record.seen_at, record.failures = self._clock(), self._wall(), 0
        record.heard, record.unanswered = record.seen, 0
        record.has_beaten, record.is_restored = True, False
        record.cpu_percent, record.memory_percent = beat.cpu_percent, beat.memory_percent
        record.metrics = beat.metrics
        if beat.status == "draining" and not record.draining:
            record.draining = True
            self._note(record)
        self._reports.take_all(record, frozenset(beat.env_ids), frozenset(beat.opening), self.on_stray)
        if before != (self._status(record), self._routes.of_worker(beat.worker_id)):
            self.on_change()  # not for each of the many that say nothing new
        return True

    def deregister(self, worker_id: str, why: str) -> None:
        """Let a worker go; whatever it still had is lost.

        Raises:
            WorkerNotFound: There is no such worker.
        """
        record = self._get(worker_id)
        self._forget(record)
        self._lose(record, why)

    def set_draining(self, worker_id: str, *, draining: bool) -> None:
        """Send a worker no more environments, or again.

        Raises:
            WorkerNotFound: There is no such worker.
        """
        record = self._get(worker_id)
        record.draining = draining
        self._note(record)
        self.on_change()

    def tick(self) -> None:
        """Declare silent workers dead and forget those long dead."""
        now = self._clock()
        for worker_id, record in list(self._workers.items()):
            silent_s = now - record.seen
            if not record.dead and silent_s > self.times.dead_s:
                self._declare_dead(record, f"its worker {worker_id} has been silent for {silent_s:.0f} s")
            elif record.dead and silent_s > self.times.dead_s + FORGET_DEAD_AFTER_S:
                self._forget(record)

    def count_call(self, worker_id: str, *, failed: bool) -> None:
        """Count a call forwarded to a worker, and whether it got there."""
        record = self._workers.get(worker_id)
        if record is None:
            return
        record.requests += 1
        record.errors += failed
        record.failures = record.failures + 1 if failed else 0

    def hear(self, worker_id: str) -> None:
        """Take a word of a worker on Celery's event stream."""
        record = self._workers.get(worker_id)
        if record is not None:
            record.heard = record.signalled = self._newest_signal = self._clock()

    def report(self, worker_id: str, env_id: str) -> None:
        """Take word that a worker has opened an environment that nobody waits for there.

        Words may be old: a heartbeat alone brings in an environment that nothing is known of.
        """
        record = self._workers.get(worker_id)
        is_known = self._routes.find(env_id) is not None or self._routes.is_unwanted(env_id, worker_id)
        if record is not None and not record.dead and is_known:
            self._reports.take(record, env_id, self.on_stray)

    def suspect(self, worker_id: str) -> None:
        """Have a worker asked at once whether it lives: a call did not reach it, or it said goodbye."""
        record = self._workers.get(worker_id)
        if record is not None and not record.dead:
            self.on_suspect(worker_id)

    def doubtful(self) -> list[str]:
        """Return the workers that should be asked now whether they live, those not asked for longest first."""
        at = Circumstances(self._clock(), self.times.heartbeat_s, self._newest_signal)
        found = [
            record
            for worker_id, record in self._workers.items()
            if is_doubtful(record, at, opening_since=self._opening_since(worker_id))
        ]
        return [record.registration.worker_id for record in sorted(found, key=lambda record: record.probed)]

    def question(self, worker_id: str) -> tuple[int, str] | None:
        """Note that a worker is being asked whether it lives; return its process and where it serves."""
        record = self._workers.get(worker_id)
        if record is None or record.dead:
            return None
        record.probed = self._clock()
        return record.process, record.url

    def answered(self, worker_id: str, process: int) -> None:
        """Take a worker's answer that it lives."""
        record = self._of_process(worker_id, process)
        if record is not None:
            record.heard, was_silent, record.unanswered = self._clock(), record.unanswered, 0
            if was_silent:
                self.on_change()

    def unanswered(self, worker_id: str, process: int) -> None:
        """Take note that a worker did not answer: it gets nothing new until it speaks again."""
        record = self._of_process(worker_id, process)
        if record is not None:
            record.unanswered += 1

    def refused(self, worker_id: str, process: int) -> None:
        """Declare dead a worker at whose address nobody serves any more, or somebody else."""
        record = self._of_process(worker_id, process)
        if record is None:
            return
        if not record.has_beaten and self._clock() - record.seen < STARTING_S:
            record.unanswered += 1
        else:
            self._declare_dead(record, f"nothing answers at the address of its worker {worker_id}")

    def is_silent(self, worker_id: str) -> bool:
        """Return whether a worker has stopped answering, so that others should do its work."""
        record = self._workers.get(worker_id)
        return record is None or record.dead or record.unanswered >= SILENT_AFTER

    @property
    def is_recovering(self) -> bool:
        """Whether a worker of an earlier master may still report environments that this one does not know."""
        now = self._clock()
        limit = now - RECOVERY_BEATS * self.times.heartbeat_s
        return now < self._recovering_until or any(
            r.is_restored and not r.dead and r.seen > limit for r in self._workers.values()
        )

    def await_reports(self) -> None:
        """Expect unknown workers with unknown environments: what an earlier master wrote down could not be read."""
        self._recovering_until = self._clock() + RECOVERY_BEATS * self.times.heartbeat_s

    def restore(self, facts: Mapping[str, Mapping[str, str]]) -> int:
        """Take back the workers that an earlier master wrote down: they count as alive until they are silent.

        Returns:
            How many of them are not dead.
        """
        self._gone.restore(facts)
        now, wall = self._clock(), self._wall()
        for worker_id, text in facts.get(WORKER, {}).items():
            try:
                fact = WorkerFact.model_validate_json(text)
            except ValidationError:
                continue  # another version's: it registers again when its heartbeat is refused
            self._workers[worker_id] = restored_record(
                fact, next(self._processes), now=now, wall=wall, silent_s=self.times.dead_s
            )
        return sum(not record.dead for record in self._workers.values())

    def status(self, worker_id: str) -> WorkerStatus:
        """Return a worker's status now.

        Raises:
            WorkerNotFound: There is no such worker.
        """
        return self._status(self._get(worker_id))

    def snapshots(self) -> tuple[WorkerSnapshot, ...]:
        """Return every worker as placement sees it."""
        return tuple(
            record.snapshot(
                self._status(record),
                used=self._routes.count(worker_id),
                starting=self._routes.creating_count(worker_id),
            )
            for worker_id, record in self._workers.items()
        )

    def queues(self) -> frozenset[str]:
        """Return the Celery queues of the workers that are not dead."""
        return frozenset(
            name
            for record in self._workers.values()
            if not record.dead
            for name in record.registration.queues
        )

    def ever_seen(self) -> tuple[WorkerSnapshot, ...]:
        """Return every worker that is here, and those that were."""
        gone = tuple(snapshot_of(registration, WorkerStatus.DEAD) for registration in self._gone.values())
        return self.snapshots() + gone

    def entries(self) -> tuple[WorkerEntry, ...]:
        """Return every worker as ``/workers/list`` shows it."""
        now, wall = self._clock(), self._wall()
        return tuple(
            entry_of(record, self._status(record), self._routes.of_worker(worker_id), now=now, wall=wall)
            for worker_id, record in self._workers.items()
        )

    def looked_at(self) -> Iterator[tuple[WorkerRecord, WorkerStatus]]:
        """Return every worker with its status now: made for reading, and cheap."""
        return ((record, self._status(record)) for record in self._workers.values())

    def _get(self, worker_id: str) -> WorkerRecord:
        record = self._workers.get(worker_id)
        if record is None:
            raise WorkerNotFound(f"there is no worker {worker_id}: GET /workers/list shows those there are")
        return record

    def _status(self, record: WorkerRecord) -> WorkerStatus:
        if record.dead:
            return WorkerStatus.DEAD
        if record.unanswered or self._clock() - record.seen > self.times.unhealthy_s:
            return WorkerStatus.UNHEALTHY
        return WorkerStatus.DRAINING if record.draining else WorkerStatus.HEALTHY

    def _of_process(self, worker_id: str, process: int) -> WorkerRecord | None:
        """Return a live worker, unless another process bears its id by now."""
        record = self._workers.get(worker_id)
        return record if record is not None and record.process == process and not record.dead else None

    def _opening_since(self, worker_id: str) -> float | None:
        if not self._routes.creating_count(worker_id):
            return None
        routes = self._routes.of_worker(worker_id)
        return min(route.since for route in routes if route.state is RouteState.CREATING)

    def _note(self, record: WorkerRecord) -> None:
        self.version += 1
        fact = WorkerFact(
            registration=record.registration,
            draining=record.draining,
            dead=record.dead,
            registered_at=record.registered_at,
        )
        self._notes.note(WORKER, record.registration.worker_id, fact.model_dump_json())

    def _forget(self, record: WorkerRecord) -> None:
        """Let a worker go, remembering what it could do."""
        worker_id = record.registration.worker_id
        self.version += 1
        del self._workers[worker_id]
        self._notes.note(WORKER, worker_id, None)
        self._gone.put(worker_id, record.registration)

    def _declare_dead(self, record: WorkerRecord, why: str) -> None:
        record.dead = True
        self._note(record)
        self._lose(record, why)

    def _lose(self, record: WorkerRecord, why: str) -> None:
        worker_id = record.registration.worker_id
        for route in self._routes.of_worker(worker_id):
            if route.state is RouteState.READY:
                self._routes.remove(route.env_id, why)
        self.on_lost(worker_id, frozenset(record.registration.queues))
        self.on_change()
