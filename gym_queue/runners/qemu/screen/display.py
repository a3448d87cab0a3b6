"""One machine's desktop, acted on and seen from this process by QEMU's monitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from gym_queue.errors import RunnerFailed
from gym_queue.protocol.actions import Action, Mouse
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.display.frames import FrameEncoder
from gym_queue.runners.display.settle import Stillness
from gym_queue.runners.qemu.qmp import Qmp
from gym_queue.runners.qemu.screen.capture import Capture, ScreenWatch
from gym_queue.runners.qemu.screen.devices import QmpDevices
from gym_queue.runners.qemu.screen.input import VmInput, check
from gym_queue.runners.qemu.screen.typing import XKeys

LOOK_S = 0.02
"""Shortest time between two looks at the screen."""
POINTER_S = 0.05
"""How long the pointer may take to show where it was put; a program may have hidden it."""
POINTER_LOOK_S = 0.003
REACTION_S, KEY_REACTION_S = 0.25, 0.6
"""How long the first change after an action may take to show, under emulation on a busy host; after keys it is
programs that draw, not the X server alone."""
READ_S, READ_MAX_S = 0.6, 4.0
"""Before keys change their meaning, programs have read what was typed: seen by a change, then stillness."""


class VmDisplay:
    """The screen, mouse and keyboard of one machine. Used by one thread at a time; ``close`` by any.

    Every method raises RunnerFailed when the machine is gone, does not answer, or the display was closed.

    Args:
        qmp: The machine's monitor; not closed with the display.
        resolution: width, height in pixels of every picture.
        connect_x: Returns a connection to the X server inside; None where there is none.
        pause: Waits so many seconds between the parts of an action; None waits until closed at most.
    """

    def __init__(
        self,
        qmp: Qmp,
        resolution: tuple[int, int],
        *,
        connect_x: Callable[[], Connection] | None = None,
        pause: Callable[[float], None] | None = None,
    ) -> None:
        self._resolution = resolution
        self._closed = threading.Event()
        pause = pause or self._pause
        self._devices = QmpDevices(qmp, size=lambda: self._capture.size, pause=pause)
        self._x = XKeys(connect_x, pause=pause, rest=self._let_programs_read) if connect_x else None
        self._input = VmInput(self._devices, self._x, pause=pause)
        self._capture = Capture(qmp, resolution)
        self._watch = ScreenWatch(self._capture)
        self._encoder = FrameEncoder(resolution)
        self._stillness = Stillness()
        self._is_settled = False
        self._reacts_by = 0.0
        """Until when a wait is for the first change; in the past once one was seen."""

    @property
    def note(self) -> str | None:
        """What a picture is not, in a sentence; None while the screen inside has the resolution asked for."""
        if self._capture.size == self._resolution:
            return None
        (own_width, own_height), (width, height) = self._capture.size, self._resolution
        return (
            f"the screen inside has {own_width} x {own_height} pixels and the spec asks for {width} x {height}: "
            "what is missing is black, what is beyond is cut off"
        )

    def check(self, action: Action) -> None:
        """See that ``act`` could take an action, without injecting anything.

        Raises:
            ActionInvalid: A point is off the screen, a key has no such name, or no key types a character.
            NotSupported: A voice or api_call action, or what is typed has no key on a US keyboard and no X server
                inside could give it one.
        """
        check(action, self._resolution, has_x=self._x is not None)

    def act(self, action: Action) -> None:
        """Inject one action; raises as ``check``, before anything is injected.

        Returns when the guest has taken every event, and shows the pointer where it is now. Whatever happens, no key stays down, and no button but those
        that ``mouse.buttons`` presses.
        """
        self.check(action)
        self._check_open()
        tiles = self._watch.look()
        if self._is_settled:
            self._stillness.idle(tiles)
        self._is_settled = False
        before = self._devices.pointer
        self._input.act(action)
        if self._devices.pointer != before:
            self._await_pointer()
        self._reacts_by = time.monotonic() + self._reaction_s(action)

    def settle(self, *, settle_s: float, max_s: float, must_change: bool = False) -> None:
        """Wait until the screen has been still for ``settle_s`` seconds, or ``max_s`` have passed.

        What counts as still is written in display/settle.py. The first change after an action is waited for a while.

        Args:
            settle_s: How long nothing changes, in seconds.
            max_s: Longest wait, in seconds.
            must_change: Wait for a first change as long as that, since the wait before or the display's opening.
        """
        self._wait_until_still(settle_s, max_s, must_change=must_change)
        if self._x is not None:
            self._x.all_read()
        self._is_settled = True

    def observe_png(self) -> bytes:
        """Return the screen as it is now, the pointer in it, as a PNG of the resolution."""
        self._check_open()
        self._watch.refresh()
        return self._encoder.encode(self._capture.pixels)

    def close(self) -> None:
        """Let go. Safe to call twice, and while another thread is inside a call, which then fails."""
        self._closed.set()
        self._capture.close()
        if self._x is not None:
            self._x.close()

    def _reaction_s(self, action: Action) -> float:
        if action.keyboard is not None:
            return KEY_REACTION_S
        return 0.0 if action.mouse == Mouse(move=self._devices.pointer) else REACTION_S

    def _await_pointer(self) -> None:
        end = time.monotonic() + POINTER_S
        while not self._watch.look() and time.monotonic() < end:
            self._pause(POINTER_LOOK_S)

    def _wait_until_still(self, settle_s: float, max_s: float, *, must_change: bool = False) -> None:
        now = time.monotonic()
        end = now + max_s
        self._stillness.start(now)
        while True:
            self._check_open()
            tiles = self._watch.look()
            now = time.monotonic()
            self._stillness.changed(tiles, now)
            if tiles - self._stillness.restless:
                must_change, self._reacts_by = False, 0.0
            still_at = max(self._stillness.still_at(settle_s), self._reacts_by)
            until = end if must_change else min(still_at, end)
            if now >= until:
                return
            self._pause(min(LOOK_S, until - now))

    def _let_programs_read(self) -> None:
        self._wait_until_still(READ_S, READ_MAX_S, must_change=True)

    def _pause(self, duration_s: float) -> None:
        if self._closed.wait(duration_s):
            self._check_open()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RunnerFailed("the environment was closed: create a new one")
