"""Fair shares of a full fleet: within one priority, the name with the fewest environments goes first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from gym_queue.master.waiting import Waiting

Order = Callable[[Sequence[Waiting]], list[Waiting]]
"""Creates that wait → the same, first to be served first."""


def by_arrival(waiting: Sequence[Waiting]) -> list[Waiting]:
    """Sort by priority, then arrival."""
    return sorted(waiting, key=lambda create: create.order)


class FairShare:
    """Sorts by priority, then by how many environments its name would have, then by arrival.

    Each create counts those of its name that run, and those that wait before it for the same thing: so names take
    turns when several slots come free at once, and one that waits for a GPU costs its name no turn for a terminal.
    The cluster token counts as one name. Among creates of one name nothing but priority and arrival decides.

    Args:
        owner: Environment → the name it belongs to; None is the cluster token.
        running: Name → how many slots its environments fill.
    """

    def __init__(self, owner: Callable[[str], str | None], running: Callable[[str | None], int]) -> None:
        self._owner, self._running = owner, running

    def order(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        """Return the creates, first to be served first."""
        arrived = by_arrival(waiting)
        names = {create.env_id: self._owner(create.env_id) for create in arrived}
        distinct = set(names.values())
        if len(distinct) < 2:
            return arrived
        running = {name: self._running(name) for name in distinct}
        before: Counter[tuple[str | None, str]] = Counter()
        turns: list[tuple[int, int, int]] = []
        for create in arrived:
            name = names[create.env_id]
            turns.append((create.order[0], running[name] + before[name, create.awaits], create.order[1]))
            before[name, create.awaits] += 1
        return [create for _, create in sorted(zip(turns, arrived, strict=True), key=lambda pair: pair[0])]
