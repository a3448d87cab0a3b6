"""The environments, and the creates that wait, as rows of lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gym_queue.master.creates import Creates
from gym_queue.master.facts import About
from gym_queue.master.overview import describe
from gym_queue.master.routes import Route, Routes, RouteState
from gym_queue.master.waiting import Waiting

STATES = ("queued", "creating", "ready", "closing")
ENV_SORTS = ("env_id", "state", "worker_id", "since", "age_s", "env", "task_id", "runner", "owner")
ENV_SEARCHED = ("text",)
QUEUE_SORTS = ("position", "env_id", "priority", "capability", "owner", "waiting_s")
QUEUE_SEARCHED = ("env_id", "capability", "owner", "words")
SHOWN_REASONS = 20
NOTHING_KNOWN = About()


@dataclass(frozen=True, slots=True)
class EnvRow:
    """One environment, as far as the master knows it."""

    env_id: str
    state: str
    worker_id: str | None
    since: float
    """Monotonic seconds from which on it has been in this state."""
    env: str | None
    task_id: str | None
    runner: str | None
    owner: str | None
    text: str
    """All of it that is searched, made once."""
    about: About

    @property
    def age_s(self) -> float:
        """Sorts as the age does."""
        return -self.since


class EnvRows:
    """Makes the rows; those of routed environments that did not change are kept.

    Args:
        routes: Where environments are.
        creates: Those that wait.
        closing: The environments whose close is under way.
        owner: Environment → the name it belongs to.
        clock: Monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self,
        routes: Routes,
        creates: Creates,
        closing: Callable[[], frozenset[str]],
        owner: Callable[[str], str | None],
        *,
        clock: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._routes, self._creates, self._closing, self._owner = routes, creates, closing, owner
        self._clock, self._wall = clock, wall
        self._kept: dict[str, tuple[Route, EnvRow]] = {}
        self._version: object = None

    def all(self) -> list[EnvRow]:
        """Return those that wait, then those that are routed, in the order in which they came."""
        self._refresh()
        rows = [self._of_waiting(waiting) for waiting in self._creates.waiting.unplaced()]
        rows += [row for _route, row in self._kept.values()]
        ending = self._closing()
        if not ending:
            return rows
        return [replace(row, state="closing") if row.env_id in ending else row for row in rows]

    def show(self, row: EnvRow) -> dict[str, Any]:
        """Return a row as it is shown."""
        age_s = self._clock() - row.since
        return {
            "env_id": row.env_id,
            "state": row.state,
            "worker_id": row.worker_id,
            "since": round(self._wall() - age_s, 3),
            "age_s": round(age_s, 3),
            "env": row.env,
            "task_id": row.task_id,
            "runner": row.runner,
            "owner": row.owner,
            "metadata": row.about.metadata,
        }

    def _refresh(self) -> None:
        if self._version == self._routes.version:
            return
        known, self._kept = self._kept, {}
        for route in self._routes.all():
            kept = known.get(route.env_id)
            is_same = kept is not None and kept[0] is route
            self._kept[route.env_id] = (
                kept if kept is not None and is_same else (route, self._of_route(route))
            )
        self._version = self._routes.version

    def _of_route(self, route: Route) -> EnvRow:
        about = route.about
        if route.state is RouteState.CREATING and (waiting := self._creates.find(route.env_id)) is not None:
            about = waiting.about()
        return self._row(route.env_id, str(route.state), route.worker_id, route.since, about)

    def _of_waiting(self, waiting: Waiting) -> EnvRow:
        return self._row(waiting.env_id, "queued", None, waiting.since, waiting.about())

    def _row(
        self, env_id: str, state: str, worker_id: str | None, since: float, about: About | None
    ) -> EnvRow:
        about = about or NOTHING_KNOWN
        words = " ".join(str(value) for value in about.metadata.values())
        named = about.env, about.task_id, about.runner, self._owner(env_id)
        text = "\n".join([env_id, state, worker_id or "", *(each or "" for each in named), words])
        return EnvRow(env_id, state, worker_id, since, *named, text, about)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One create that waits."""

    position: int
    env_id: str
    priority: int
    capability: str
    owner: str | None
    waiting_s: float
    waiting: Waiting

    @property
    def words(self) -> str:
        """Of its metadata, to be searched."""
        return " ".join(str(value) for value in self.waiting.request.metadata.values())


def queue_rows(
    creates: Creates, owner: Callable[[str], str | None], clock: Callable[[], float]
) -> list[QueueRow]:
    """Return the creates that wait, first to be served first."""
    now = clock()
    return [
        QueueRow(
            position,
            waiting.env_id,
            waiting.request.priority,
            waiting.awaits,
            owner(waiting.env_id),
            now - waiting.since,
            waiting,
        )
        for position, waiting in enumerate(creates.queue())
    ]


def show_queued(row: QueueRow) -> dict[str, Any]:
    """Return a row as it is shown, with the first of its reasons."""
    shown, about = describe(row.waiting, row.position), row.waiting.about()
    reasons = row.waiting.why_not
    return {
        **shown,
        "metadata": about.metadata,
        "env": about.env,
        "task_id": about.task_id,
        "owner": row.owner,
        "waiting_for": _waiting_for(row.waiting),
        "why_not": dict(list(reasons.items())[:SHOWN_REASONS]),
        "why_not_total": len(reasons),
    }


def _waiting_for(waiting: Waiting) -> str:
    if "broker" in waiting.why_not:
        return "the broker"
    if not waiting.callers and waiting.wanted_until:
        return "its client, to ask again after the master's restart"
    if not waiting.why_not:
        return "its turn"
    return f"a free slot for {waiting.awaits}"
