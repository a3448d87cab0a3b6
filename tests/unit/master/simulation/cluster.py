"""A master without its HTTP server, simulated workers, and clients; every step is one call here."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import httpx

from gym_queue.broker.sender import Sender
from gym_queue.errors import EnvLost, GymQueueError, NotFound, WorkerNotFound
from gym_queue.master.clearing import Clearing
from gym_queue.master.closing import Closer
from gym_queue.master.creates import Creates
from gym_queue.master.dispatch import CeleryDispatcher, HttpDispatcher
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.routes import CLOSED, Routes, RouteState
from gym_queue.master.watch import Watch
from gym_queue.protocol.fleet import Heartbeat, WorkerStatus
from gym_queue.protocol.sessions import CreateReply, CreateRequest, Opened
from tests.unit.master.conftest import Clock
from tests.unit.master.simulation.loop import SteppedLoop
from tests.unit.master.simulation.workers import Answer, Network, Post, Process

HEARTBEAT_S = 5.0
BEAT_LIVES_S = 2 * HEARTBEAT_S
"""A heartbeat is an HTTP call, which its worker gives up after this long."""
CREATE_TIMEOUT_S = 60.0
QUEUE_TIMEOUT_S = 120.0


@dataclass(eq=False)
class Ask:
    """One client that waits for a create."""

    request: CreateRequest
    task: asyncio.Task[CreateReply]

    @property
    def env_id(self) -> str:
        return str(self.request.env_id)


@dataclass(frozen=True)
class Sent:
    """A heartbeat on its way."""

    beat: Heartbeat
    at: float


@dataclass
class Ledger:
    """What clients were told, and may therefore count on."""

    owned: dict[str, Process] = field(default_factory=dict)
    """Environments that clients have, and that nothing has ended."""
    ended: set[str] = field(default_factory=set)
    """Closed, cancelled or told lost, and not asked for again."""
    answers: list[tuple[str, CreateReply | GymQueueError]] = field(default_factory=list)


class Cluster:
    """Everything but the processes: real Routes, Fleet, Creates, dispatchers and Closer."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.loop = SteppedLoop(self.clock)
        self.post = Post()
        self.network = Network(self._process_at)
        self.processes: dict[str, Process] = {}
        self.asks: list[Ask] = []
        self.beats: list[Sent] = []
        self.replies: list[tuple[str, str, dict[str, Any]]] = []
        self.ledger = Ledger()
        self.keeps_replies = False
        """Whether replies wait in the broker until they are delivered."""
        self._pids = itertools.count(1)
        self._make_master()

    def _make_master(self) -> None:
        rng = random.Random(0)  # ties must fall alike when a run is repeated
        self._ties = patch("gym_queue.master.placement.random", SimpleNamespace(Random=lambda: rng))
        self._ties.start()
        self.routes = Routes(clock=self.clock)
        times = FleetTimes(heartbeat_s=HEARTBEAT_S, unhealthy_s=15, dead_s=30)
        self.fleet = Fleet(self.routes, times, clock=self.clock, wall=self.clock)
        self.client = httpx.AsyncClient(transport=self.network, trust_env=False)
        self.closer = Closer(self.client)
        self.celery = CeleryDispatcher(cast(Sender, self.post), "replies", timeout_s=CREATE_TIMEOUT_S)
        self.creates = Creates(
            self.fleet,
            self.routes,
            celery=self.celery,
            http=HttpDispatcher(self.client, timeout_s=CREATE_TIMEOUT_S),
            undo=self.closer.undo,
            queue_timeout_s=QUEUE_TIMEOUT_S,
            clock=self.clock,
            clearing=Clearing(self.closer.stray),
        )
        self.fleet.on_change, self.fleet.on_stray = self.creates.pump, self.closer.close_stray
        self.fleet.on_lost = self._on_lost
        self.watch = Watch(self.fleet, self.client)
        self.fleet.on_suspect = self.watch.ask

    def end(self) -> None:
        """Let go of the loop."""
        self._ties.stop()
        self.loop.do(self.creates.stop)
        self.loop.end()

    # workers

    def start_worker(self, worker_id: str, url: str, **kind: Any) -> None:
        """Start a process, in place of the one that bore its id."""
        self.kill(worker_id)
        process = Process(worker_id, url, next(self._pids), **kind)
        self.processes[worker_id] = process
        self._register(process)

    def kill(self, worker_id: str) -> None:
        """End a process as kill -9 does; the master is not told."""
        process = self.processes.get(worker_id)
        if process is not None:
            self.loop.do(process.die)
            self._disown(process)
            if not process.is_sequenced:  # nothing tells its heartbeats from those of its successor
                self.beats = [sent for sent in self.beats if sent.beat.worker_id != worker_id]

    def leave(self, worker_id: str) -> None:
        """End a process in order: it closes what it has, and tells the master."""
        self.kill(worker_id)
        self.loop.do(lambda: _unless_unknown(lambda: self.fleet.deregister(worker_id, "its worker left")))

    def drain(self, worker_id: str, draining: bool) -> None:
        """Tell the master to send no more environments, or again."""
        self.loop.do(lambda: _unless_unknown(lambda: self.fleet.set_draining(worker_id, draining=draining)))

    def send_beat(self, process: Process) -> None:
        """Put a heartbeat on its way."""
        self.beats.append(Sent(process.beat(), self.clock()))

    def deliver_beat(self, at: int, *, again: bool) -> None:
        """Let a heartbeat arrive, any of those on their way; it may arrive again."""
        sent = self.beats[at] if again else self.beats.pop(at)
        self._take_beat(sent.beat)

    def beat(self, process: Process) -> None:
        """Send a heartbeat that arrives at once."""
        self._take_beat(process.beat())

    def reap(self, process: Process, env_id: str) -> None:
        """Let an environment end by itself."""
        process.close(env_id)
        self.ledger.owned.pop(env_id, None)

    # creates on workers

    def take_task(self, process: Process) -> None:
        """Let a process take its next task from the broker."""
        task_id = self.post.take(process.queues)
        if task_id is not None:
            self.loop.do(lambda: process.open(task_id, self._answer_of(process, task_id)))

    def finish(self, process: Process, env_id: str, error: GymQueueError | None) -> None:
        """Let a process end an opening."""
        self.loop.do(lambda: process.finish(env_id, error))

    def deliver_reply(self, at: int) -> None:
        """Let a reply arrive, any of those in the broker."""
        reply = self.replies.pop(at)
        self.loop.do(lambda: self.celery.on_reply(*reply))

    # clients

    def ask(self, request: CreateRequest) -> Ask:
        """Ask for an environment."""
        self.ledger.ended.discard(str(request.env_id))
        task = self.loop.do(lambda: asyncio.ensure_future(self.creates.create(request)))
        found = Ask(request, task)
        self.asks.append(found)
        return found

    def hang_up(self, ask: Ask) -> None:
        """Let a client leave."""
        self.loop.do(ask.task.cancel)

    def close(self, env_id: str) -> None:
        """Close an environment or its create, as the data plane and the HTTP call do together."""
        route = self.routes.find(env_id)
        if route is not None and route.state is RouteState.READY:
            process = self._process_at(route.worker_url)
            if process is None:
                return  # 502: the client tries again
            process.close(env_id)
            self.loop.do(lambda: (self.routes.remove(env_id, CLOSED), self.fleet.on_change()))
            self._ended(env_id)
        elif self.loop.do(lambda: self.creates.cancel(env_id)):
            self._ended(env_id)
        elif route is None and self.routes.ended(env_id) is not None:
            self.loop.do(lambda: self.routes.remove(env_id, CLOSED))
            self._ended(env_id)

    def call(self, env_id: str) -> None:
        """Make a call on an environment, which hears of its loss."""
        try:
            self.routes.forwardable(env_id)
        except EnvLost:
            self._ended(env_id)
        except NotFound:
            pass

    # time

    def pass_time(self, seconds: float) -> None:
        """Let time pass for everybody."""
        self.clock.now += seconds
        self.beats = [sent for sent in self.beats if self.clock() - sent.at < BEAT_LIVES_S]
        for tick in (self.fleet.tick, self.creates.tick, self.watch.tick):
            self.loop.do(tick)
        for process in self.processes.values():
            if self.status_of(process) in (None, WorkerStatus.DEAD):
                self._disown(process)

    def harvest(self) -> list[Ask]:
        """Note what clients were answered since the last time."""
        done = [ask for ask in self.asks if ask.task.done()]
        self.asks = [ask for ask in self.asks if not ask.task.done()]
        for ask in done:
            if ask.task.cancelled():
                continue
            error = ask.task.exception()
            if error is not None and not isinstance(error, GymQueueError):
                raise error
            answer = error or ask.task.result()
            self.ledger.answers.append((ask.env_id, answer))
            if isinstance(answer, CreateReply):
                self._own(answer)
        return done

    def status_of(self, process: Process) -> WorkerStatus | None:
        """Return what the master thinks of a worker; None when it does not know it."""
        try:
            return self.fleet.status(process.worker_id)
        except WorkerNotFound:
            return None

    @property
    def alive(self) -> list[Process]:
        """The processes that live."""
        return [process for process in self.processes.values() if process.is_alive]

    def _process_at(self, url: str) -> Process | None:
        return next((process for process in self.alive if process.url == url), None)

    def _register(self, process: Process) -> None:
        self.loop.do(lambda: self.fleet.register(process.registration()))

    def _take_beat(self, beat: Heartbeat) -> None:
        known = self.loop.do(lambda: _unless_unknown(lambda: self.fleet.heartbeat(beat)))
        process = self.processes.get(beat.worker_id)
        if not known and process is not None and process.is_alive:
            self._register(process)

    def _on_lost(self, worker_id: str, queues: frozenset[str]) -> None:
        self.creates.worker_lost(worker_id)
        self.post.delete(queues)

    def _answer_of(self, process: Process, task_id: str) -> Answer:
        def answer(error: GymQueueError | None) -> None:
            opened = Opened(env_id=task_id, worker_id=process.worker_id, worker_url=process.url)
            failure = {"exc_type": type(error).__name__, "exc_message": [str(error), {}]}
            reply = (
                (task_id, "SUCCESS", opened.model_dump()) if error is None else (task_id, "FAILURE", failure)
            )
            if self.keeps_replies:
                self.replies.append(reply)
            else:
                self.celery.on_reply(*reply)

        return answer

    def _own(self, reply: CreateReply) -> None:
        process = self._process_at(str(reply.worker_url))
        if process is not None and reply.env_id in process.held:
            self.ledger.owned[reply.env_id] = process

    def _ended(self, env_id: str) -> None:
        self.ledger.owned.pop(env_id, None)
        if not any(ask.env_id == env_id and not ask.task.done() for ask in self.asks):
            self.ledger.ended.add(env_id)  # else one who asked for it anew waits until the old one is undone

    def _disown(self, process: Process) -> None:
        owned = self.ledger.owned
        self.ledger.owned = {env_id: owner for env_id, owner in owned.items() if owner is not process}


def _unless_unknown(call: Any) -> bool:
    """Return whether the master knows the worker."""
    try:
        call()
    except WorkerNotFound:
        return False
    return True
