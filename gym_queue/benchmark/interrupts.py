"""Ctrl-C while a run works: taken at once, and raised where nothing is half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts them. The first waits for ``check``; a second one means it, and is raised where it comes."""

    def __init__(self) -> None:
        self._count = 0

    def take(self, _number: int, _frame: FrameType | None) -> None:
        """Take one, as a signal's handler."""
        self._count += 1
        if self._count > 1:
            raise KeyboardInterrupt

    def check(self) -> None:
        """Raise what came.

        Raises:
            KeyboardInterrupt: One did.
        """
        if self._count == 1:
            self._count = 2  # from now on each is raised at once
            raise KeyboardInterrupt


@contextmanager
def held_interrupts() -> Iterator[Interrupts]:
    """Hold interrupts back for the length of a block; elsewhere than in the main thread there are none to hold."""
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    kept = {number: signal.getsignal(number) for number in STOPS}
    ours = [number for number, handler in kept.items() if handler is signal.default_int_handler]
    for number in ours:
        signal.signal(number, interrupts.take)
    try:
        yield interrupts
    finally:
        for number in ours:
            signal.signal(number, kept[number])
