"""From a thread to an event loop, many at a time: the loop is woken once for all that came meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MOST_AT_ONCE = 500
"""Items of one turn of the loop: others get theirs in between."""
KEPT = 50_000
"""Items that may wait for a loop that does not come round."""

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """Hands items on in the order in which they came.

    Args:
        loop: Where they are taken.
        take: Called on the loop with at most MOST_AT_ONCE of them.
        kept: Most that wait; those beyond are dropped, and counted.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, take: Callable[[Sequence[Item]], None], *, kept: int = KEPT
    ) -> None:
        self._loop, self._take, self._kept = loop, take, kept
        self._lock = threading.Lock()
        self._waiting: list[Item] = []
        self._is_called = False
        self.dropped = 0

    def put(self, item: Item) -> None:
        """Hand on one item, from any thread."""
        with self._lock:
            if len(self._waiting) >= self._kept:
                self.dropped += 1
                return
            self._waiting.append(item)
            is_called, self._is_called = self._is_called, True
        if not is_called:
            self._call()

    def _call(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_on)

    def _hand_on(self) -> None:
        with self._lock:
            items, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
            self._is_called = bool(self._waiting)
            is_more = self._is_called
        try:
            self._take(items)
        finally:
            if is_more:
                self._call()
