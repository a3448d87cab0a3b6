from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from itertools import chain

from gym_queue.broker.handover import MOST_AT_ONCE, Handover


def handed(count: int, **options: int) -> tuple[list[list[int]], int]:
    """Return what was taken at once, of items that a thread put while the loop was busy."""
    taken: list[list[int]] = []

    async def run() -> int:
        inbox = Handover[int](asyncio.get_running_loop(), lambda items: taken.append(list(items)), **options)
        thread = threading.Thread(target=lambda: deque(map(inbox.put, range(count))))
        thread.start()
        thread.join()
        for _ in range(count):
            await asyncio.sleep(0)
        return inbox.dropped

    return taken, asyncio.run(run())


def test_items_come_in_order_and_many_at_a_time() -> None:
    taken, dropped = handed(2 * MOST_AT_ONCE + 1)
    assert [len(each) for each in taken] == [MOST_AT_ONCE, MOST_AT_ONCE, 1]
    assert list(chain.from_iterable(taken)) == list(range(2 * MOST_AT_ONCE + 1))
    assert dropped == 0


def test_what_is_too_much_is_dropped_and_counted() -> None:
    taken, dropped = handed(10, kept=4)
    assert (taken, dropped) == ([[0, 1, 2, 3]], 6)


def test_a_taker_that_fails_gets_the_rest_all_the_same() -> None:
    taken: list[int] = []

    def take(items: Sequence[int]) -> None:
        taken.extend(items)
        raise ValueError("one of them was bad")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, _context: None)
        inbox = Handover[int](loop, take)
        for each in range(MOST_AT_ONCE + 1):
            inbox.put(each)
        for _ in range(10):
            await asyncio.sleep(0)

    asyncio.run(run())
    assert taken == list(range(MOST_AT_ONCE + 1))


def test_a_loop_that_has_ended_takes_nothing() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    Handover[int](loop, lambda _items: None).put(1)
