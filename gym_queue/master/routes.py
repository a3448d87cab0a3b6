"""The in-memory routing table: env → worker. The one owner of that fact."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from gym_queue.errors import EnvLost, EnvNotFound
from gym_queue.protocol.sessions import CreateReply

REMEMBERED = 10_000
"""Ended environments that are told apart from those that never were."""


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


class Routes:
    """The routing table. Not thread-safe: it lives on the master's loop.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._routes: dict[str, Route] = {}
        self._by_worker: dict[str, set[str]] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()
        self.closed_count = 0
        """Environments that were routed and then closed, since the start."""

    def reserve(self, env_id: str, worker_id: str, worker_url: str) -> None:
        """Hold a slot of a worker for an environment that is being created."""
        self._put(Route(env_id, worker_id, worker_url, RouteState.CREATING, self._clock()))

    def ready(self, reply: CreateReply) -> None:
        """Route an environment whose create is done."""
        route = self._routes[reply.env_id]
        self._put(replace(route, state=RouteState.READY, since=self._clock(), reply=reply))

    def adopt(self, env_id: str, worker_id: str, worker_url: str) -> None:
        """Route an environment that a worker reports and nobody here created or closed."""
        self._put(Route(env_id, worker_id, worker_url, RouteState.READY, self._clock()))

    def find(self, env_id: str) -> Route | None:
        """Return the environment's route, in any state."""
        return self._routes.get(env_id)

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
        why = self._ended.get(env_id)
        if why is not None and why != "closed":
            raise EnvLost(f"environment {env_id} is lost: {why}; create a new one", {"env_id": env_id})
        gone = "was closed" if why else "does not exist"
        raise EnvNotFound(f"environment {env_id} {gone}: create one with POST /envs/create")

    def remove(self, env_id: str, why: str) -> Route | None:
        """Forget an environment and return its last route.

        Args:
            env_id: The environment; one that is not routed is remembered all the same.
            why: ``closed``, or how it was lost.
        """
        route = self._routes.pop(env_id, None)
        if route is not None:
            self._by_worker[route.worker_id].discard(env_id)
            self.closed_count += why == "closed"
        self._ended[env_id] = why
        self._ended.move_to_end(env_id)
        while len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)
        return route

    def release(self, env_id: str) -> None:
        """Give up a reservation, leaving no trace."""
        route = self._routes.pop(env_id, None)
        if route is not None:
            self._by_worker[route.worker_id].discard(env_id)

    def ended(self, env_id: str) -> str | None:
        """Return how an environment ended; None when it did not, or long ago."""
        return self._ended.get(env_id)

    def of_worker(self, worker_id: str) -> tuple[Route, ...]:
        """Return every route to a worker."""
        return tuple(self._routes[env_id] for env_id in self._by_worker.get(worker_id, ()))

    def count(self, worker_id: str) -> int:
        """Return how many of a worker's slots are taken or reserved."""
        return len(self._by_worker.get(worker_id, ()))

    def all(self) -> Iterable[Route]:
        """Return every route."""
        return tuple(self._routes.values())

    def _put(self, route: Route) -> None:
        old = self._routes.get(route.env_id)
        if old is not None:
            self._by_worker[old.worker_id].discard(route.env_id)
        self._routes[route.env_id] = route
        self._by_worker.setdefault(route.worker_id, set()).add(route.env_id)
        self._ended.pop(route.env_id, None)
