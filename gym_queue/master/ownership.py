"""Whose environments are: the name of the token that created each. The one owner of that fact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gym_queue.master.facts import NoNotes, Notes
from gym_queue.master.routes import Routes

OWNER = "owner"
"""Kind of the facts."""
KEPT = 20_000
"""Environments whose owner is remembered, besides those that live."""


class Ownership:
    """Environments by the name that created them; those of the cluster token have none. Lives on the master's loop.

    Args:
        routes: Which environments live.
        notes: Where what must outlive this master is written down.
        kept: Environments whose owner is remembered, besides those that live.
    """

    def __init__(self, routes: Routes, notes: Notes | None = None, *, kept: int = KEPT) -> None:
        self._routes, self._notes, self._kept = routes, notes or NoNotes(), kept
        self._names: dict[str, str] = {}
        self._by_name: dict[str, set[str]] = {}
        self._asked: Counter[str] = Counter()
        self.is_waiting: Callable[[str], bool] = lambda _env_id: False
        """Whether the create of an environment is not answered yet."""

    def owner(self, env_id: str) -> str | None:
        """Return the name an environment belongs to; None for one of the cluster token, and for one unknown."""
        return self._names.get(env_id)

    def is_known(self, env_id: str) -> bool:
        """Return whether there is, or lately was, such an environment."""
        return (
            env_id in self._names or self._has_slot_or_waits(env_id) or self._routes.ended(env_id) is not None
        )

    def lives(self, env_id: str) -> bool:
        """Return whether an environment is there, or is asked for."""
        return env_id in self._asked or self._has_slot_or_waits(env_id)

    def count(self, name: str) -> int:
        """Return how many environments a name has and asks for."""
        return sum(self.lives(env_id) for env_id in self._of(name))

    def running(self, name: str | None) -> int:
        """Return how many slots a name's environments fill; None is the cluster token."""
        if name is not None:
            return sum(self._routes.find(env_id) is not None for env_id in self._of(name))
        return len(tuple(self._routes.all())) - sum(self.running(other) for other in list(self._by_name))

    @contextmanager
    def asking(self, env_id: str, name: str | None) -> Iterator[None]:
        """Count an environment as its name's while its create is being answered."""
        self.put(env_id, name)
        self._asked[env_id] += 1
        try:
            yield
        finally:
            self._asked[env_id] -= 1
            if not self._asked[env_id]:
                del self._asked[env_id]

    def put(self, env_id: str, name: str | None) -> None:
        """Give an environment to a name; None gives one that has ended back to the cluster token."""
        if name == self._names.get(env_id):
            return
        self._forget(env_id)
        if name is None:
            return
        self._names[env_id] = name
        self._by_name.setdefault(name, set()).add(env_id)
        self._notes.note(OWNER, env_id, name)
        if len(self._names) > 2 * self._kept:
            self._forget_ended()

    def restore(self, facts: Mapping[str, Mapping[str, str]]) -> None:
        """Take back what an earlier master wrote down."""
        for env_id, name in facts.get(OWNER, {}).items():
            self._names[env_id] = name
            self._by_name.setdefault(name, set()).add(env_id)

    def _has_slot_or_waits(self, env_id: str) -> bool:
        return self._routes.find(env_id) is not None or self.is_waiting(env_id)

    def _of(self, name: str) -> set[str]:
        """Return what may live of a name's; what has ended is left out from now on."""
        found = {env_id for env_id in self._by_name.get(name, ()) if self.lives(env_id)}
        if found:
            self._by_name[name] = found
        else:
            self._by_name.pop(name, None)
        return found

    def _forget(self, env_id: str) -> None:
        name = self._names.pop(env_id, None)
        if name is not None:
            self._by_name.get(name, set()).discard(env_id)
            self._notes.note(OWNER, env_id, None)

    def _forget_ended(self) -> None:
        """Forget the oldest half of what has ended."""
        ended = [env_id for env_id in self._names if not self.lives(env_id)]
        for env_id in ended[: len(ended) - self._kept]:
            self._forget(env_id)
