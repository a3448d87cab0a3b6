"""The cluster token as its file says it, which may change while a program runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from gym_queue.errors import StartupFailed
from gym_queue.web.auth import same_token

logger = logging.getLogger(__name__)

GRACE_S = 60.0
"""How long the token before opens after a change: programs of one home see it at different times."""

Mark = tuple[int, int, int]


class RotatingToken:
    """A token, and for a grace after a change the one before.

    Args:
        token: As it is now.
        path: The file it was read from; None for one that was given, which never changes.
        read: Reads the file anew; None when it is gone, which changes nothing.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        token: str,
        path: Path | None = None,
        *,
        read: Callable[[], str | None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.current = token
        """The newest token."""
        self._path, self._read, self._clock = path, read, clock
        self._before: tuple[str, float] | None = None
        self._mark = self._look()

    def opens(self, given: str) -> bool:
        """Return whether a token is the current one, or was a moment ago; compares in constant time."""
        if same_token(given, self.current):
            return True
        before = self._before
        return before is not None and self._clock() < before[1] and same_token(given, before[0])

    def opens_now(self, given: str) -> bool:
        """Return whether a token opens, after a look at the file if it did not: the caller may have looked before."""
        return self.opens(given) or (self.refresh() and self.opens(given))

    def refresh(self) -> bool:
        """Read the file if it has changed. May block; safe from any one thread.

        Returns:
            Whether the token is another now.
        """
        mark = self._look()
        if mark is None or mark == self._mark:
            return False
        self._mark = mark
        try:
            token = self._read()
        except StartupFailed as error:
            logger.warning("the token stays what it was: %s", error)
            return False
        if not token or same_token(token, self.current):
            return False
        self._before, self.current = (self.current, self._clock() + GRACE_S), token
        logger.info("the cluster token has changed; the one before opens for %.0f s more", GRACE_S)
        return True

    def _look(self) -> Mark | None:
        if self._path is None:
            return None
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size
