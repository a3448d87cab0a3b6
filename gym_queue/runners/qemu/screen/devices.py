"""A machine's tablet and keyboard by QEMU's monitor, no faster than the guest takes what they say.

A virtio device drops what its queue of 64 has no room for, without a word, and a guest under software emulation or on
a busy host is slow to make room; so the queue is looked at. Where QEMU does not tell (before 7.2, or USB devices), the
pace is that of a USB keyboard, which keeps 16 events and is asked for one each 8 ms at best.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gym_queue.errors import RunnerFailed
from gym_queue.protocol.actions import Point
from gym_queue.runners.display.gestures import Button, Part
from gym_queue.runners.qemu.qmp import Qmp, QmpRefused
from gym_queue.runners.qemu.screen.qcodes import SHIFT, Stroke

AXIS_VALUES = 0x8000
"""Of QEMU's absolute axes."""
STROKES_AT_ONCE = 8
"""Of up to four events each: half of a virtio queue."""
QUEUE_EVENTS = 64
LOOK_S = 0.002
TAKE_S = 0.25
"""A driver that has not given back every buffer for this long keeps some to itself."""
HANG_S = 10.0
"""A guest that takes nothing for this long hangs; what it is sent would be lost."""
BOUNCE_S = 0.03
"""Between two changes of buttons: libinput takes those within 25 ms for a worn switch's, and leaves them out
(https://wayland.freedesktop.org/libinput/doc/latest/button-debouncing.html)."""
USB_EVENT_S = 0.02
"""Measured under emulation on a busy host: at half of it one of 600 characters was lost."""
_BUTTONS = {Button.LEFT: "left", Button.MIDDLE: "middle", Button.RIGHT: "right"}
_QUEUE = 0
"""Of a virtio input device: its events; the other is for its lights."""

Event = dict[str, Any]


def key_event(qcode: str, *, is_down: bool) -> Event:
    """Return a key's press or release."""
    return {"type": "key", "data": {"down": is_down, "key": {"type": "qcode", "data": qcode}}}


def button_event(name: str, *, is_down: bool) -> Event:
    """Return a button's press or release; the wheel's clicks are buttons to QEMU."""
    return {"type": "btn", "data": {"down": is_down, "button": name}}


def motion(point: Point, size: tuple[int, int]) -> list[Event]:
    """Return what puts the pointer in the middle of a pixel.

    Args:
        point: The pixel; one beyond the screen is taken as the last within.
        size: width, height in pixels of the guest's screen.
    """
    return [
        {"type": "abs", "data": {"axis": axis, "value": axis_value(at, pixels)}}
        for axis, at, pixels in zip(("x", "y"), point, size, strict=True)
    ]


def axis_value(at: int, pixels: int) -> int:
    """Return where a pixel's middle is on an absolute axis."""
    return (2 * min(at, pixels - 1) + 1) * AXIS_VALUES // (2 * pixels)


def stroke_events(strokes: Iterable[Stroke]) -> list[Event]:
    """Return the presses and releases that type keys one after the other; shift is let go at the end."""
    events: list[Event] = []
    is_shifted = False
    for stroke in strokes:
        if stroke.shift != is_shifted:
            events.append(key_event(SHIFT, is_down=stroke.shift))
            is_shifted = stroke.shift
        events += [key_event(stroke.qcode, is_down=is_down) for is_down in (True, False)]
    return [*events, key_event(SHIFT, is_down=False)] if is_shifted else events


class QmpDevices:
    """The devices of one machine.

    Args:
        qmp: Its monitor.
        size: Returns width, height in pixels of its own screen.
        pause: Waits so many seconds; raises when the display was closed.
    """

    def __init__(
        self, qmp: Qmp, *, size: Callable[[], tuple[int, int]], pause: Callable[[float], None]
    ) -> None:
        self._qmp, self._size, self._pause = qmp, size, pause
        self._queues = self._find_queues()
        self._bounces_until = 0.0
        self.pointer: Point | None = None
        """Where the pointer was put last; None before it ever was."""

    def move(self, point: Point) -> None:
        """Put the pointer at a point."""
        self.pointer = point
        self._send(motion(point, self._size()))

    def press(self, part: Part) -> None:
        """Press a button, or a key by its qcode."""
        self._change(part, is_down=True)

    def release(self, part: Part) -> None:
        """Let a button or key go."""
        self._change(part, is_down=False)

    def scroll(self, clicks: int) -> None:
        """Turn the wheel; positive is down."""
        wheel = "wheel-down" if clicks > 0 else "wheel-up"
        for number in range(1, abs(clicks) + 1):
            self._send([button_event(wheel, is_down=True)])
            self._send([button_event(wheel, is_down=False)])
            if number % STROKES_AT_ONCE == 0:
                self._wait(2 * STROKES_AT_ONCE)

    def type(self, strokes: Sequence[Stroke]) -> None:
        """Type keys one after the other."""
        count = STROKES_AT_ONCE if self._queues else 1
        for start in range(0, len(strokes), count):
            events = stroke_events(strokes[start : start + count])
            self._send(events)
            self._wait(len(events))

    def sync(self) -> None:
        """Return when the guest has taken what was sent, as far as QEMU tells."""
        self._wait(0)

    def _change(self, part: Part, *, is_down: bool) -> None:
        if isinstance(part, Button):
            time.sleep(max(0.0, self._bounces_until - time.monotonic()))
        self._send([_event(part, is_down=is_down)])
        if isinstance(part, Button):
            self._wait(0)  # the guest counts from when it takes it
            self._bounces_until = time.monotonic() + BOUNCE_S

    def _send(self, events: Sequence[Event]) -> None:
        self._wait_for(len(events) + 1)  # and the end of a report
        self._qmp.ask("input-send-event", events=list(events))

    def _wait(self, events: int) -> None:
        """Wait until the guest has taken all; so many events were sent."""
        if not self._queues:
            self._pause(events * USB_EVENT_S)
        end = time.monotonic() + TAKE_S
        while self._room() < QUEUE_EVENTS and time.monotonic() < end:
            self._pause(LOOK_S)

    def _wait_for(self, room: int) -> None:
        end = time.monotonic() + HANG_S
        while self._room() < room:
            if time.monotonic() > end:
                raise RunnerFailed(
                    f"the virtual machine has taken no input for {HANG_S:g} s: what runs inside hangs; reset the environment"
                )
            time.sleep(LOOK_S)  # also for what lets keys go after the display was closed

    def _room(self) -> int:
        """Return how many events the fullest of the queues has room for."""
        return min((self._room_of(path) for path in self._queues), default=QUEUE_EVENTS)

    def _room_of(self, path: str) -> int:
        try:
            found = self._qmp.ask("x-query-virtio-queue-element", path=path, queue=_QUEUE)
        except QmpRefused:  # no driver has set it up
            return QUEUE_EVENTS
        return (int(found["avail"]["idx"]) - int(found["used"]["idx"])) & 0xFFFF

    def _find_queues(self) -> list[str]:
        try:
            devices = self._qmp.ask("x-query-virtio")
        except QmpRefused:  # before QEMU 7.2
            return []
        return [device["path"] for device in devices if device["name"] == "virtio-input"]


def _event(part: Part, *, is_down: bool) -> Event:
    if isinstance(part, Button):
        return button_event(_BUTTONS[part], is_down=is_down)
    return key_event(str(part), is_down=is_down)
