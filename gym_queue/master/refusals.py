"""Which workers said lately that they cannot run an environment, or have no room for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from gym_queue.errors import NoCapacity
from gym_queue.master.placement import Need

KEPT_S = 60.0
"""After this long a worker is asked again: somebody may have installed what it lacked."""
FULL = "said that it is full"
FULL_PAUSE_S = 1.0
"""How long a worker that said so gets nothing."""
MEMORY_PAUSE_S = 5.0
"""How long one that lacks an environment's memory does not get that environment."""
KEPT = 1000
"""Environments whose refusals are remembered."""


class Refusals:
    """Remembers, for a while, what only the workers could know: the folder's own spec needs another runner.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_need: OrderedDict[tuple[str, frozenset[str]], dict[str, tuple[float, str]]] = OrderedDict()

    def note(self, need: Need, worker_id: str, why: str) -> None:
        """Remember that a worker cannot run an environment."""
        if need.env_key is None:
            return
        key = (need.env_key, need.runners)
        self._by_need.setdefault(key, {})[worker_id] = (self._clock() + KEPT_S, why)
        self._by_need.move_to_end(key)
        while len(self._by_need) > KEPT:
            self._by_need.popitem(last=False)

    def of(self, need: Need) -> dict[str, str]:
        """Return the workers that cannot run it, and why."""
        if need.env_key is None:
            return {}
        found = self._by_need.get((need.env_key, need.runners), {})
        now = self._clock()
        return {worker_id: why for worker_id, (until, why) in found.items() if until > now}

    def forget(self, worker_id: str) -> None:
        """Forget what a worker said: its process is gone."""
        for refused in self._by_need.values():
            refused.pop(worker_id, None)


class FullWorkers:
    """Remembers, for a moment, which workers said that they have no room: for any environment, or for one alone.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str | None], tuple[float, str]] = {}

    def note(self, worker_id: str, env_id: str, error: NoCapacity) -> None:
        """Remember what a worker said of a create.

        Args:
            worker_id: Who said it.
            env_id: Of the create.
            error: A worker that lacks the memory for one environment may have room for others.
        """
        now = self._clock()
        if error.details.get("lacks_memory"):
            past = [key for key, (until, _) in self._said.items() if key[1] is not None and until <= now]
            for key in past:
                del self._said[key]
            self._said[worker_id, env_id] = (now + MEMORY_PAUSE_S, str(error))
        else:
            self._said[worker_id, None] = (now + FULL_PAUSE_S, FULL)

    def of(self, env_id: str) -> dict[str, str]:
        """Return the workers that have no room for a create, and why."""
        now = self._clock()
        return {
            worker_id: why
            for (worker_id, only), (until, why) in self._said.items()
            if until > now and only in (None, env_id)
        }

    def forget(self, worker_id: str) -> None:
        """Forget what a worker said: its process is gone."""
        self._said = {key: said for key, said in self._said.items() if key[0] != worker_id}
