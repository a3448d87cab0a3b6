"""What a person does with a mouse, whatever hands it on: drags take time, clicks are held for a moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Protocol

from gym_queue.errors import NotSupported
from gym_queue.protocol.actions import Action, Drag, Mouse, Point, check_on_screen

HOLD_S = 0.004
"""How long a button or chord is down: programs that look at the state of keys, not at events, see it too."""
BETWEEN_CLICKS_S = 0.03
DRAG_SPEED_PX_S = 2000.0
DRAG_STEP_S = 0.01
DRAG_REST_S = 0.05
"""Rest of a drag before its first and after its last motion, in which programs see that it is one."""


class Button(Enum):
    """A mouse's buttons, by X11's numbers."""

    LEFT = 1
    MIDDLE = 2
    RIGHT = 3


Part = Button | int | str
"""What can be down: a button, or a key as its device calls it."""


class Devices(Protocol):
    """A mouse and a keyboard."""

    def move(self, point: Point) -> None:
        """Put the pointer at a point."""

    def press(self, part: Part) -> None:
        """Press a button or key."""

    def release(self, part: Part) -> None:
        """Let a button or key go."""

    def scroll(self, clicks: int) -> None:
        """Turn the wheel; positive is down."""

    def sync(self) -> None:
        """Return when all of it has been handed on."""


class Gestures:
    """Uses devices as a person does, and knows what is down.

    Args:
        devices: The mouse and keyboard.
        pause: Waits so many seconds; raises when the display was closed.
    """

    def __init__(self, devices: Devices, *, pause: Callable[[float], None]) -> None:
        self._devices, self._pause = devices, pause
        self._down: list[Part] = []
        self._kept = 0
        """How many of these stay down until a mouse action has ended."""

    def use(self, mouse: Mouse) -> None:
        """Do what a mouse action says."""
        if mouse.move is not None:
            self._devices.move(mouse.move)
        for point, button, count in (
            (mouse.left_click, Button.LEFT, 1),
            (mouse.right_click, Button.RIGHT, 1),
            (mouse.double_click, Button.LEFT, 2),
            (mouse.triple_click, Button.LEFT, 3),
            (mouse.middle_click, Button.MIDDLE, 1),
        ):
            if point is not None:
                self._click(point, button, count)
        for drag, button in ((mouse.left_click_drag, Button.LEFT), (mouse.right_click_drag, Button.RIGHT)):
            if drag is not None:
                self._drag(drag, button)
        if mouse.buttons is not None:
            for wanted, change, button in (
                (mouse.buttons.left_down, self._devices.press, Button.LEFT),
                (mouse.buttons.left_up, self._devices.release, Button.LEFT),
                (mouse.buttons.right_down, self._devices.press, Button.RIGHT),
                (mouse.buttons.right_up, self._devices.release, Button.RIGHT),
            ):
                if wanted:
                    change(button)
        if mouse.scroll:
            self._devices.scroll(mouse.scroll)

    def press(self, part: Part) -> None:
        """Press a button or key, unless it is down already, until ``let_go``."""
        if part not in self._down:
            self._down.append(part)  # first: a press that fails half-way is let go as well
            self._devices.press(part)

    def hold_and_let_go(self) -> None:
        """Keep what is down for a moment, then let it go, the last first."""
        self._pause(HOLD_S)
        self.let_go()

    def let_go(self) -> None:
        """Let go what is down, the last first."""
        while len(self._down) > self._kept:
            self._devices.release(self._down.pop())

    @contextmanager
    def keeping(self) -> Iterator[None]:
        """Leave what is down now as it is for the length of a block, then let it go."""
        self._kept = len(self._down)
        try:
            yield
        finally:
            self._kept = 0
            self.let_go()

    @contextmanager
    def all_let_go(self) -> Iterator[None]:
        """See that nothing pressed here stays down after a block, whatever happens in it."""
        try:
            yield
        finally:
            self.let_go()
            self._devices.sync()

    def _click(self, point: Point, button: Button, count: int) -> None:
        self._devices.move(point)
        for number in range(count):
            if number:
                self._pause(BETWEEN_CLICKS_S)
            self.press(button)
            self.hold_and_let_go()

    def _drag(self, drag: Drag, button: Button) -> None:
        start, end = drag
        self._devices.move(start)
        self.press(button)
        self._pause(DRAG_REST_S)
        for point in drag_path(start, end):
            self._devices.move(point)
            self._pause(DRAG_STEP_S)
        self._pause(DRAG_REST_S)
        self.let_go()


def check_devices(action: Action, resolution: tuple[int, int]) -> None:
    """See that an action is one for a mouse and a keyboard, and stays on the screen.

    Raises:
        ActionInvalid: A point is off the screen.
        NotSupported: A voice or api_call action.
    """
    if action.voice is not None or action.api_call is not None:
        raise NotSupported("a desktop takes mouse and keyboard actions only: this one has voice or api_call")
    check_on_screen((action,), resolution)


def drag_path(start: Point, end: Point) -> list[Point]:
    """Return where the pointer comes by on a straight drag, slow at both ends; the last point is ``end``."""
    (x1, y1), (x2, y2) = start, end
    duration_s = math.hypot(x2 - x1, y2 - y1) / DRAG_SPEED_PX_S
    count = max(8, math.ceil(duration_s / DRAG_STEP_S))
    shares = ((1 - math.cos(math.pi * step / count)) / 2 for step in range(1, count + 1))
    return [(round(x1 + (x2 - x1) * share), round(y1 + (y2 - y1) * share)) for share in shares]
