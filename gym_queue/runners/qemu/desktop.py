"""What only the X server inside a guest tells: which windows there are; and how long an entrypoint takes."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from gym_queue.errors import RunnerFailed
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.display.windows import WindowTree
from gym_queue.runners.qemu.guest.protocol import Guest
from gym_queue.runners.qemu.screen.display import VmDisplay

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

ENTRYPOINT_WAIT_S = 30.0
"""How long an entrypoint may run before it counts as one that stays."""
WINDOW_WAIT_S = 1.0
"""How long it is waited for once it has put a window on the screen."""
LOOK_S = 0.2
SETTLE_S, SETTLE_MAX_S = 0.1, 5.0


class XTunnel:
    """A connection to the X server of a guest, made when it is first needed and again when it broke.

    Args:
        connect: Returns a connection to it.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._windows: WindowTree | None = None

    def window_tree(self) -> str:
        """Return the windows that show (display/windows.py).

        Raises:
            RunnerFailed: The X server does not answer.
        """
        return self._ask(WindowTree.read)

    def managed(self) -> frozenset[int]:
        """Return the windows that the window manager has; raises as ``window_tree``."""
        return self._ask(WindowTree.managed)

    def close(self) -> None:
        """Hang up; the next call connects anew."""
        connection, self._connection, self._windows = self._connection, None, None
        if connection is not None:
            connection.close()

    def _ask(self, question: Callable[[WindowTree], Answer]) -> Answer:
        try:
            return question(self._tree())
        except RunnerFailed:
            self.close()  # it may have been started again
        return question(self._tree())

    def _tree(self) -> WindowTree:
        if self._windows is None:
            self._connection = self._connect()
            self._windows = WindowTree(self._connection)
        return self._windows


class Desktop:
    """The desktop of a machine, beyond its pixels.

    Args:
        display: Its screen.
        tunnel: To its X server; None where there is none.
    """

    def __init__(self, display: VmDisplay, tunnel: XTunnel | None) -> None:
        self._display, self._tunnel = display, tunnel
        self._is_closed = threading.Event()

    def window_tree(self) -> str | None:
        """Return the windows that show, one a line; None where no X server tells."""
        return self._tunnel.window_tree() if self._tunnel is not None else None

    def run_entrypoint(self, guest: Guest, command: str) -> None:
        """Start a command that may stay, and wait until it has ended or put a window on the screen.

        Args:
            guest: Where.
            command: For a login shell of the spec's user.
        """
        before = self._managed()
        started = guest.start(command, "entrypoint")
        deadline, is_seen = time.monotonic() + ENTRYPOINT_WAIT_S, False
        while started.status is None and time.monotonic() < deadline:
            if self._is_closed.wait(LOOK_S):
                raise RunnerFailed("the environment was closed: create a new one")
            if not is_seen and self._managed() - before:
                deadline, is_seen = time.monotonic() + WINDOW_WAIT_S, True
        if started.status:
            logger.warning("the entrypoint ended with status %s: %s", started.status, started.output[-500:])
        self._display.settle(settle_s=SETTLE_S, max_s=SETTLE_MAX_S)

    def _managed(self) -> frozenset[int]:
        return self._tunnel.managed() if self._tunnel is not None else frozenset()

    def close(self) -> None:
        """Hang up; a wait of another thread ends."""
        self._is_closed.set()
        if self._tunnel is not None:
            self._tunnel.close()
