"""The in-memory routing table: env → worker. The one owner of that fact."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pydantic import ValidationError

from gym_queue.errors import BadReply, EnvLost, EnvNotFound
from gym_queue.master.facts import ROUTE, About, Ended, NoNotes, Notes, RouteFact
from gym_queue.master.memory import REMEMBERED as REMEMBERED
from gym_queue.master.memory import Memory
from gym_queue.protocol.sessions import CreateReply

CLOSED = "closed"


class RouteState(StrEnum):
    """Where a routed environment is."""

    CREATING = "creating"  # a worker's slot is reserved, its create is on the way
    READY = "ready"  # calls are forwarded


@dataclass(frozen=True, slots=True)
class Route:
    """Where one environment lives."""

    env_id: str
    worker_id: str
    worker_url: str
    state: RouteState
    since: float
    """When it entered this state, on the table's clock."""
    reply: CreateReply | None = None
    """What its create was answered with; None for one that a heartbeat brought."""
    digest: str | None = field(default=None, repr=False)
    """Of the request that created it; None when that is not known."""
    about: About | None = None
    """What was asked for; None when that is not known."""

    def created(self) -> CreateReply:
        """Return what a create of this environment is answered with."""
        plain = CreateReply(env_id=self.env_id, worker_id=self.worker_id, worker_url=self.worker_url)
        return self.reply or plain


class Routes:
    """The routing table. Not thread-safe: it lives on the master's loop.

    Args:
        clock: Monotonic seconds.
        wall: Unix seconds.
        notes: Where what must outlive this master is written down.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        *,
        wall: Callable[[], float] = time.time,
        notes: Notes | None = None,
    ) -> None:
        self._clock, self._wall = clock, wall
        self._notes = notes or NoNotes()
        self._routes: dict[str, Route] = {}
        self._by_worker: dict[str, set[str]] = {}
        self._creating: Counter[str] = Counter()
        self._ended = Memory("ended", Ended, self._notes)
        self._told_lost = Memory("told", str, self._notes)
        self._renamed = Memory("renamed", str, self._notes)
        self._abandoned = Memory("abandoned", str, self._notes)
        self.created_count = 0
        """Environments whose create was answered with them, since the start."""
        self.closed_count = 0
        """Environments that were routed and then closed, since the start."""
        self.lost_count = 0
        """Environments that were routed and then lost, since the start."""
        self.version = 0
        """Grows when an environment comes, goes or changes its state."""

    def reserve(self, env_id: str, worker_id: str, worker_url: str) -> None:
        """Hold a slot of a worker for an environment that is being created."""
        self._abandoned.pop(_at(env_id, worker_id))
        self._put(Route(env_id, worker_id, worker_url, RouteState.CREATING, self._clock()))

    def ready(
        self,
        reply: CreateReply,
        *,
        reserved: str | None = None,
        digest: str | None = None,
        about: About | None = None,
    ) -> None:
        """Route an environment whose create is done.

        Args:
            reply: What the worker answered.
            reserved: The id its slot was reserved under, when that is not the one the worker gave it.
            digest: Of the request that created it.
            about: What was asked for.

        Raises:
            BadReply: Another worker's environment has the id that this worker answered.
        """
        asked = reserved or reply.env_id
        held, known = self._routes[asked], self._routes.get(reply.env_id)
        if known is not None and known.worker_id != held.worker_id:
            raise BadReply(
                f"worker {held.worker_id} answered a create with the id {reply.env_id}, which lives on worker {known.worker_id}"
            )
        if reply.env_id != asked:
            self.release(asked)
            self._renamed.put(asked, reply.env_id)
        self.created_count += 1
        made = replace(held, env_id=reply.env_id, state=RouteState.READY, since=self._clock())
        self._put(replace(made, reply=reply, digest=digest, about=about))

    def adopt(self, env_id: str, worker_id: str, worker_url: str) -> None:
        """Route an environment that a worker reports and nobody here created or closed."""
        self._put(Route(env_id, worker_id, worker_url, RouteState.READY, self._clock()))

    def move(self, route: Route, worker_id: str, worker_url: str) -> None:
        """Route an environment to the new name or address of its worker."""
        where = {"worker_id": worker_id, "worker_url": worker_url}
        reply = route.reply and route.reply.model_copy(update=where)
        self._put(replace(route, worker_id=worker_id, worker_url=worker_url, reply=reply))

    def find(self, env_id: str) -> Route | None:
        """Return the environment's route, in any state."""
        return self._routes.get(env_id)

    def find_created(self, env_id: str) -> Route | None:
        """Return the route of what a create of this id led to, whatever its worker called it."""
        route = self._routes.get(self._renamed.get(env_id) or env_id)
        return route if route is not None and route.state is RouteState.READY else None

    def forwardable(self, env_id: str) -> Route:
        """Return the route that calls are forwarded along.

        Raises:
            EnvLost: It existed and its worker is gone.
            EnvNotFound: It was closed, or never was.
        """
        route = self._routes.get(env_id)
        if route is not None and route.state is RouteState.READY:
            return route
        if route is not None:
            raise EnvNotFound(
                f"environment {env_id} is still being created: wait for its create to be answered"
            )
        why = self.ended(env_id)
        if why is not None and why != CLOSED:
            self._told_lost.put(env_id, "")
            raise EnvLost(f"environment {env_id} is lost: {why}; create a new one", {"env_id": env_id})
        gone = "was closed" if why else "does not exist"
        raise EnvNotFound(f"environment {env_id} {gone}: create one with POST /envs/create")

    def remove(self, env_id: str, why: str) -> Route | None:
        """Forget an environment and return its last route.

        Args:
            env_id: The environment; one that is not routed is remembered all the same.
            why: ``closed``, or how it was lost.
        """
        route = self._take(env_id)
        if route is not None and route.state is RouteState.READY:
            self.closed_count += why == CLOSED
            self.lost_count += why != CLOSED
        self._ended.put(env_id, Ended(why=why, worker_id=route and route.worker_id, at=self._wall()))
        return route

    def release(self, env_id: str) -> None:
        """Give up a reservation, leaving no trace."""
        self._take(env_id)

    def abandon(self, env_id: str, worker_id: str) -> None:
        """Remember a create that was given up, which its worker may still carry out."""
        self._abandoned.put(_at(env_id, worker_id), "")

    def is_unwanted(self, env_id: str, worker_id: str) -> bool:
        """Return whether nobody waits for this environment of this worker, which is not routed."""
        return (
            self.ended(env_id) == CLOSED
            or env_id in self._told_lost
            or _at(env_id, worker_id) in self._abandoned
        )

    def ended(self, env_id: str) -> str | None:
        """Return how an environment ended; None when it did not, or long ago."""
        ended = self._ended.get(env_id)
        return None if ended is None else ended.why

    def ending(self, env_id: str) -> Ended | None:
        """Return how, where and when an environment ended."""
        return self._ended.get(env_id)

    def of_worker(self, worker_id: str) -> tuple[Route, ...]:
        """Return every route to a worker."""
        return tuple(self._routes[env_id] for env_id in self._by_worker.get(worker_id, ()))

    def count(self, worker_id: str) -> int:
        """Return how many of a worker's slots are taken or reserved."""
        return len(self._by_worker.get(worker_id, ()))

    def creating_count(self, worker_id: str) -> int:
        """Return for how many creates a worker's slots are reserved."""
        return self._creating[worker_id]

    def states(self) -> dict[RouteState, int]:
        """Return how many routes are in each state; cheap."""
        creating = self._creating.total()
        return {RouteState.CREATING: creating, RouteState.READY: len(self._routes) - creating}

    def all(self) -> Iterable[Route]:
        """Return every route."""
        return tuple(self._routes.values())

    def restore(self, facts: Mapping[str, Mapping[str, str]]) -> int:
        """Take back what an earlier master wrote down.

        Returns:
            How many environments are routed.
        """
        for memory in (self._ended, self._told_lost, self._renamed, self._abandoned):
            memory.restore(facts)
        now, wall = self._clock(), self._wall()
        for text in facts.get(ROUTE, {}).values():
            try:
                fact = RouteFact.model_validate_json(text)
            except ValidationError:
                continue  # another version's: the worker's heartbeat brings it
            since = now - max(wall - fact.since, 0.0)
            where = (fact.env_id, fact.worker_id, fact.worker_url)
            self._index(Route(*where, RouteState.READY, since, fact.reply, fact.digest, fact.about))
        return len(self._routes)

    def _put(self, route: Route) -> None:
        self._index(route)
        self._ended.pop(route.env_id)
        self._told_lost.pop(route.env_id)
        if route.state is RouteState.READY:
            fact = RouteFact(
                env_id=route.env_id,
                worker_id=route.worker_id,
                worker_url=route.worker_url,
                since=self._wall() - (self._clock() - route.since),
                reply=route.reply,
                digest=route.digest,
                about=route.about,
            )
            self._notes.note(ROUTE, route.env_id, fact.model_dump_json())

    def _index(self, route: Route) -> None:
        self.version += 1
        old = self._routes.get(route.env_id)
        if old is not None:
            self._unindex(old)
        self._routes[route.env_id] = route
        self._by_worker.setdefault(route.worker_id, set()).add(route.env_id)
        self._creating[route.worker_id] += route.state is RouteState.CREATING

    def _unindex(self, route: Route) -> None:
        self.version += 1
        del self._routes[route.env_id]
        self._by_worker[route.worker_id].discard(route.env_id)
        self._creating[route.worker_id] -= route.state is RouteState.CREATING

    def _take(self, env_id: str) -> Route | None:
        route = self._routes.get(env_id)
        if route is not None:
            self._unindex(route)
            if route.state is RouteState.READY:
                self._notes.note(ROUTE, env_id, None)
        return route


def _at(env_id: str, worker_id: str) -> str:
    return f"{env_id}@{worker_id}"
