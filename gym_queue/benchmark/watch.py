"""Whether the master of a remote run still answers: asked now and then, in a thread of its own."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from gym_queue.errors import GymQueueError, Infrastructure, MasterRecovering

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
"""Between two questions while it answers."""
ASK_AGAIN_S = 1.0
"""Between two while it does not."""
ANSWER_TIMEOUT_S = 10.0

Ask = Callable[[], None]
"""Asks the master anything; raises what came of it."""


class Seen(NamedTuple):
    """The last question, and its answer."""

    asked: int
    """Questions so far."""
    silent_s: float
    """For how long there was no answer; 0 when there was one."""


class MasterWatch:
    """Asks until it is stopped.

    Args:
        ask: How.
        clock: Seconds.
    """

    def __init__(self, ask: Ask, clock: Callable[[], float] = time.monotonic) -> None:
        self._ask, self._clock = ask, clock
        self._hurry = threading.Event()
        self._is_stopped = self._is_asking = False
        self._count = 0
        self._silent_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="benchmark-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._is_stopped = True
        self._hurry.set()

    def hurry(self) -> int:
        """Ask now; return the number of the first question that is asked after this."""
        number = self._count + (2 if self._is_asking else 1)
        self._hurry.set()
        return number

    def seen(self) -> Seen:
        """Return what is known."""
        since = self._silent_since
        return Seen(self._count, 0.0 if since is None else max(self._clock() - since, 1e-3))

    def look(self) -> None:
        """Ask once."""
        asked_at, self._is_asking = self._clock(), True
        is_up = _answers(self._ask)
        if is_up and self._silent_since is not None:
            logger.warning("the master answers again after %.0f s", self._clock() - self._silent_since)
        if not is_up and self._silent_since is None:
            self._silent_since = asked_at
            logger.warning("the master does not answer: attempts wait for it")
        elif is_up:
            self._silent_since = None
        self._is_asking = False
        self._count += 1

    def _run(self) -> None:
        while not self._is_stopped:
            self._hurry.clear()
            self.look()
            self._hurry.wait(LOOK_EVERY_S if self._silent_since is None else ASK_AGAIN_S)


def _answers(ask: Ask) -> bool:
    try:
        ask()
    except MasterRecovering:
        return True
    except Infrastructure:
        return False
    except GymQueueError:  # it has its reasons, but it is there
        return True
    return True
