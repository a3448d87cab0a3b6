"""Bringing the routes in line with what workers say they have."""

from __future__ import annotations

from collections.abc import Callable

from gym_queue.master.records import WorkerRecord
from gym_queue.master.routes import Routes, RouteState

SETTLING_BEATS = 2
"""For how many heartbeats a new route may be missing from reports: they may be older than it is."""

OnStray = Callable[[str, str, str], None]
"""Called with an environment that nobody wants, the worker's id and URL."""


class Reports:
    """Takes workers' words on their environments.

    Args:
        routes: Where environments are.
        heartbeat_s: How often workers report.
        clock: Monotonic seconds.
    """

    def __init__(self, routes: Routes, *, heartbeat_s: float, clock: Callable[[], float]) -> None:
        self._routes = routes
        self._heartbeat_s = heartbeat_s
        self._clock = clock

    def take_all(
        self, record: WorkerRecord, reported: frozenset[str], opening: frozenset[str], on_stray: OnStray
    ) -> None:
        """Take everything that a worker has; ``opening`` are those of it that are not open yet."""
        for env_id in reported - opening:
            self.take(record, env_id, on_stray)
        worker_id = record.registration.worker_id
        settled = self._clock() - SETTLING_BEATS * self._heartbeat_s
        inherited, record.inherited = record.inherited, frozenset()
        for route in self._routes.of_worker(worker_id):
            if route.env_id in reported or route.state is not RouteState.READY:
                continue
            if route.env_id in inherited:
                self._routes.remove(route.env_id, f"its worker {worker_id} was started anew without it")
            elif route.since < settled:
                self._routes.remove(route.env_id, f"its worker {worker_id} does not have it any more")

    def take(self, record: WorkerRecord, env_id: str, on_stray: OnStray) -> None:
        """Take one environment that a worker says it has."""
        worker_id, url = record.registration.worker_id, record.url
        route = self._routes.find(env_id)
        if route is None:
            if self._routes.is_unwanted(env_id, worker_id):
                self._refuse(record, env_id, on_stray)
            else:
                self._routes.adopt(env_id, worker_id, url)
        elif (route.worker_id, route.worker_url) == (worker_id, url):
            return
        elif worker_id == route.worker_id or url == route.worker_url:
            if route.state is RouteState.READY:
                self._routes.move(route, worker_id, url)
        else:
            self._refuse(record, env_id, on_stray)

    def _refuse(self, record: WorkerRecord, env_id: str, on_stray: OnStray) -> None:
        """Have an environment closed; it is being closed, and so nobody's, until that worker is asked for it anew."""
        worker_id = record.registration.worker_id
        self._routes.abandon(env_id, worker_id)
        on_stray(env_id, worker_id, record.url)
