"""One X11 desktop, acted on and seen from this process over the server's unix socket."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.protocol.actions import Action
from gym_queue.runners.display import input as devices
from gym_queue.runners.display.capture import Capture
from gym_queue.runners.display.connection import Connection, connect
from gym_queue.runners.display.frames import FrameEncoder
from gym_queue.runners.display.settle import Stillness
from gym_queue.runners.display.watch import ScreenWatch
from gym_queue.runners.display.windows import WindowTree

LOOK_S = 0.02
"""Shortest time between two looks at a screen that changes all the time."""
READ_S, READ_MAX_S = 0.15, 1.0
"""Before keys change their meaning, programs have read what was typed: seen by a change, then stillness."""
_SET_SCREEN_SAVER = 107


class X11Display:
    """The screen, mouse and keyboard of one X server. Used by one thread at a time; ``close`` by any.

    Every method raises RunnerFailed when the server died, does not answer, or the display was closed.

    Args:
        connection: The server; owned by the display from here on.
        resolution: width, height in pixels of the part of its screen, at the top left, that is shown.
        pause: Waits so many seconds between the parts of an action; None waits until closed at most.

    Raises:
        RunnerFailed: The server's screen is too small.
    """

    def __init__(
        self,
        connection: Connection,
        resolution: tuple[int, int],
        *,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        screen = connection.screen
        if screen.width < resolution[0] or screen.height < resolution[1]:
            raise RunnerFailed(
                f"the X server's screen has {screen.width} x {screen.height} pixels and the spec asks for "
                f"{resolution[0]} x {resolution[1]}: start it with a larger one"
            )
        self._connection = connection
        self._resolution = resolution
        self._closed = threading.Event()
        connection.send(struct.pack("<BxHhhBBxx", _SET_SCREEN_SAVER, 3, 0, 0, 0, 0))
        self._capture = Capture(connection, resolution)
        self._encoder = FrameEncoder(resolution)
        self._watch = ScreenWatch(connection, self._capture)
        self._input = devices.Input(connection, pause=pause or self._pause, rest=self._let_programs_read)
        self._stillness = Stillness()
        self._is_settled = False
        self._windows: WindowTree | None = None

    @classmethod
    def open(
        cls,
        socket_path: Path,
        *,
        resolution: tuple[int, int],
        deadline_s: float,
        process_alive: Callable[[], None] | None = None,
        authority: bytes | None = None,
    ) -> X11Display:
        """Wait until a server answers, and return its display.

        Args:
            socket_path: The server's unix socket, of any length; it need not exist yet.
            resolution: width, height in pixels that the screen must have at least.
            deadline_s: How long to wait.
            process_alive: Called while waiting; what it raises ends the wait.
            authority: The server's MIT-MAGIC-COOKIE-1 (``connection.read_cookie``); None needs none.

        Raises:
            RunnerFailed: None answers in time, it refuses, or its screen is too small.
        """
        connection = connect(
            socket_path, cookie=authority, deadline_s=deadline_s, process_alive=process_alive
        )
        try:
            return cls(connection, resolution)
        except BaseException:
            connection.close()
            raise

    @property
    def shares_memory(self) -> bool:
        """Whether pixels come by shared memory; else over the socket, which takes a few times as long."""
        return self._capture.shares_memory

    def check(self, action: Action) -> None:
        """See that ``act`` could take an action, without injecting anything.

        Raises:
            ActionInvalid: A point is off the screen, a key has no such name, or no key types a character.
            NotSupported: A voice or api_call action.
        """
        devices.check(action, self._resolution)

    def act(self, action: Action) -> None:
        """Inject one action; raises as ``check``, before anything is injected.

        Returns when the server has handed every event on. Whatever happens, no key stays down, and no button but
        those that ``mouse.buttons`` presses.
        """
        self.check(action)
        self._drain()
        if self._is_settled and self._watch.is_told and self._watch.is_damaged:
            self._stillness.idle(self._watch.look())
        self._is_settled = False
        self._input.act(action)

    def settle(self, *, settle_s: float, max_s: float, must_change: bool = False) -> None:
        """Wait until the screen has been still for ``settle_s`` seconds, or ``max_s`` have passed.

        What counts as still is written in settle.py.

        Args:
            settle_s: How long nothing changes, in seconds.
            max_s: Longest wait, in seconds.
            must_change: Wait for a first change as well, since the wait before or the display's opening.
        """
        self._wait_until_still(settle_s, max_s, must_change=must_change)
        self._input.all_read()
        self._is_settled = True

    def observe_png(self) -> bytes:
        """Return the screen as it is now, the pointer drawn in, as a PNG of the resolution."""
        self._check_open()
        return self._encoder.encode(self._capture.with_cursor())

    def window_tree(self) -> str:
        """Return the windows that show, one a line (windows.py)."""
        self._check_open()
        if self._windows is None:
            self._windows = WindowTree(self._connection)
        return self._windows.read()

    def close(self) -> None:
        """Hang up. Safe to call twice, and while another thread is inside a call, which then fails."""
        self._closed.set()
        self._connection.close()

    def _wait_until_still(self, settle_s: float, max_s: float, *, must_change: bool = False) -> None:
        now = time.monotonic()
        end, next_look = now + max_s, now
        self._stillness.start(now)
        while True:
            self._drain()
            now = time.monotonic()
            until = end if must_change else min(self._stillness.still_at(settle_s), end)
            if self._watch.is_damaged and now < min(next_look, until):
                self._pause(min(next_look, until) - now)
            elif self._watch.is_damaged:
                tiles = self._watch.look()
                self._stillness.changed(tiles, now)
                must_change = must_change and not tiles
                next_look = time.monotonic() + LOOK_S
                if now >= end:
                    return
            elif now >= until:
                return
            else:
                self._drain(wait_s=until - now)

    def _let_programs_read(self) -> None:
        self._wait_until_still(READ_S, READ_MAX_S, must_change=True)

    def _drain(self, *, wait_s: float = 0.0) -> None:
        for event in self._connection.events(wait_s=max(0.0, wait_s)):
            self._input.see(event)
            self._watch.see(event)

    def _pause(self, duration_s: float) -> None:
        if self._closed.wait(duration_s):
            self._check_open()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RunnerFailed("the environment was closed: create a new one")
