"""Workers that hold sets of environments, as the real ones do behind their queues and HTTP endpoints."""

from __future__ import annotations

import asyncio
import errno
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import httpx

from gym_queue.errors import BrokerUnavailable, EnvNotFound, GymQueueError, NoCapacity
from gym_queue.protocol.fleet import Heartbeat, Registration

Answer = Callable[[GymQueueError | None], None]


@dataclass(eq=False)
class Process:
    """One process of a worker."""

    worker_id: str
    url: str
    pid: int
    max_envs: int
    runners: tuple[str, ...]
    is_sequenced: bool
    """Whether its heartbeats are numbered."""
    has_queues: bool
    is_alive: bool = True
    is_draining: bool = False
    held: set[str] = field(default_factory=set)
    opening: dict[str, list[Answer]] = field(default_factory=dict)
    calls: set[asyncio.Future[httpx.Response]] = field(default_factory=set)
    """HTTP calls that it has not answered."""

    def __post_init__(self) -> None:
        self._numbers = itertools.count(self.pid * 1_000_000)

    @property
    def queues(self) -> list[str]:
        return [f"env.{runner}.{self.worker_id}" for runner in self.runners] if self.has_queues else []

    @property
    def env_ids(self) -> list[str]:
        """Everything that fills a slot."""
        return sorted({*self.held, *self.opening})

    def registration(self) -> Registration:
        return Registration(
            worker_id=self.worker_id,
            url=self.url,
            max_envs=self.max_envs,
            metadata={"available_runners": list(self.runners), "pid": self.pid},
            queues=self.queues,
            env_ids=sorted(self.held),
        )

    def beat(self) -> Heartbeat:
        status = "draining" if self.is_draining else "healthy"
        sequence = next(self._numbers) if self.is_sequenced else None
        return Heartbeat(
            worker_id=self.worker_id,
            env_ids=self.env_ids,
            opening=sorted(self.opening),
            status=status,
            sequence=sequence,
            pid=self.pid if self.is_sequenced else None,
        )

    def open(self, env_id: str, answer: Answer) -> None:
        """Start to open an environment; one that is there, or on its way, is not opened twice."""
        if env_id in self.held:
            answer(None)
        elif env_id in self.opening:
            self.opening[env_id].append(answer)
        elif len(self.env_ids) >= self.max_envs:
            answer(NoCapacity("all slots of this worker are taken"))
        else:
            self.opening[env_id] = [answer]

    def finish(self, env_id: str, error: GymQueueError | None) -> None:
        """End an opening: with an environment, or without."""
        if error is None:
            self.held.add(env_id)
        for answer in self.opening.pop(env_id):
            answer(error)

    def close(self, env_id: str) -> bool:
        """Close an environment; one that is still being opened cannot be."""
        if env_id not in self.held:
            return False
        self.held.remove(env_id)
        return True

    def die(self) -> None:
        """Lose everything, as by kill -9."""
        self.is_alive = False
        self.held.clear()
        self.opening.clear()
        for call in self.calls:
            if not call.done():
                call.set_exception(httpx.ReadError("the connection was reset"))


class Post:
    """A broker that can be down, as the Celery dispatcher's sender."""

    def __init__(self) -> None:
        self.queues: dict[str, list[str]] = {}
        self.is_down = False

    async def send(self, _name: str, _kwargs: object, *, task_id: str, queue: str, reply_to: str) -> None:
        """Take a task; see Sender."""
        if self.is_down:
            raise BrokerUnavailable("the broker is down")
        self.queues.setdefault(queue, []).append(task_id)

    def take(self, queues: list[str]) -> str | None:
        """Hand out the next task of these queues."""
        return next((self.queues[name].pop(0) for name in queues if self.queues.get(name)), None)

    def delete(self, queues: frozenset[str]) -> None:
        """Drop queues with all in them."""
        for name in queues:
            self.queues.pop(name, None)


class Network(httpx.AsyncBaseTransport):
    """HTTP between the master and the workers' processes; a slow one lets calls wait until it is told to go on.

    Args:
        find: Returns the process at an address, if one lives there.
    """

    def __init__(self, find: Callable[[str], Process | None]) -> None:
        self._find = find
        self.is_slow = False
        self.held_back: list[Callable[[], None]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one call."""
        process = self._find(f"{request.url.scheme}://{request.url.netloc.decode()}")
        if process is None:
            raise httpx.ConnectError("refused") from ConnectionRefusedError(errno.ECONNREFUSED, "refused")
        future: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()
        process.calls.add(future)
        try:
            _serve_call(self, process, request, future)
            async with asyncio.timeout(request.extensions["timeout"]["read"]):
                return await future
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time") from error
        finally:
            process.calls.discard(future)

    def let_through(self) -> None:
        """Carry out what was held back."""
        calls, self.held_back = self.held_back, []
        for call in calls:
            call()


def _serve_call(
    network: Network, process: Process, request: httpx.Request, future: asyncio.Future[httpx.Response]
) -> None:
    def answer(error: GymQueueError | None, env_id: str) -> None:
        if not future.done():
            body = {"env_id": env_id, "status": "closed"} if error is None else error.to_wire()
            future.set_result(httpx.Response(201 if error is None else error.status, json=body))

    if request.url.path == "/health":
        future.set_result(httpx.Response(200, json={"worker_id": process.worker_id}))
        return
    if request.url.path == "/envs/create":
        asked = json.loads(request.content)["env_id"]
        process.open(asked, lambda error: answer(error, asked))
        return
    closing = request.url.path.split("/")[2]

    def close() -> None:  # carried out even when nobody waits for its answer any more
        known = process.is_alive and process.close(closing)
        answer(None if known else EnvNotFound("no such environment"), closing)

    if network.is_slow:
        network.held_back.append(close)
    else:
        close()
