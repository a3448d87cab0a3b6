"""Which workers said lately that they cannot run an environment."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from gym_queue.master.placement import Need

KEPT_S = 60.0
"""After this long a worker is asked again: somebody may have installed what it lacked."""
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
