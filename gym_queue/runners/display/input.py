"""Mouse and keyboard by XTEST, as a person uses them: drags take time, chords are held for a moment."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.protocol.actions import Action, Drag, Keyboard, Mouse, Point, check_on_screen
from gym_queue.runners.display import keysyms
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.display.keyboard import Keyboard as Keys
from gym_queue.runners.display.keyboard import Stroke
from gym_queue.runners.keynames import split_chord

LEFT, MIDDLE, RIGHT, WHEEL_UP, WHEEL_DOWN = 1, 2, 3, 4, 5
KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, BUTTON_RELEASE, MOTION = 2, 3, 4, 5, 6
HOLD_S = 0.004
"""How long a button or chord is down: programs that look at the state of keys, not at events, see it too."""
BETWEEN_CLICKS_S = 0.03
DRAG_SPEED_PX_S = 2000.0
DRAG_STEP_S = 0.01
DRAG_REST_S = 0.05
"""Rest of a drag before its first and after its last motion, in which programs see that it is one."""
BATCH = 500
"""Characters that are sent before the server is asked whether it took them."""
_FAKE_INPUT, _GRAB_CONTROL = 2, 3
_LOCK_MASK = 2
_QUERY_POINTER = 38


def check(action: Action, resolution: tuple[int, int]) -> None:
    """See that an action is one for a mouse and a keyboard.

    Raises:
        ActionInvalid: A point is off the screen, a key has no such name, or no key types a character.
        NotSupported: A voice or api_call action.
    """
    if action.voice is not None or action.api_call is not None:
        raise NotSupported("a desktop takes mouse and keyboard actions only: this one has voice or api_call")
    check_on_screen((action,), resolution)
    if action.mouse is not None:
        for name in split_chord(action.mouse.held or ()):
            keysyms.of_key(name)
    if action.keyboard is not None:
        for character in set(action.keyboard.text or ""):
            keysyms.of_character(character)
        for name in split_chord(action.keyboard.keys or ()):
            keysyms.of_key(name)


class Input:
    """The devices of one X server.

    Args:
        connection: The server.
        pause: Waits so many seconds; raises when the display was closed.
        rest: Waits until programs have read what was typed.

    Raises:
        RunnerFailed: The server has no XTEST.
    """

    def __init__(
        self, connection: Connection, *, pause: Callable[[float], None], rest: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._pause, self._rest = pause, rest
        extension = connection.extension("XTEST")
        if extension is None:
            raise RunnerFailed("the X server has no XTEST extension: start it without -tst")
        self._major = extension.major
        connection.send(
            struct.pack("<BBHBxxx", self._major, _GRAB_CONTROL, 2, 1)
        )  # menus may grab the server
        self._keys = Keys(connection)
        self._down: list[tuple[int, int]] = []
        self._held = 0
        """How many of these stay down until a mouse action has ended."""
        self._unread = False

    def see(self, event: bytes) -> None:
        """Take note of an event of the server."""
        self._keys.see(event)

    def all_read(self) -> None:
        """Take it that programs have read all that was typed so far."""
        self._unread = False

    def act(self, action: Action) -> None:
        """Inject an action that ``check`` has seen.

        Whatever happens on the way, no key stays down, and no button but those of ``mouse.buttons``.
        """
        with self._all_let_go():
            if action.mouse is not None:
                with self._holding(split_chord(action.mouse.held or ())):
                    self._use_mouse(action.mouse)
            if action.keyboard is not None:
                self._use_keyboard(action.keyboard)

    def _use_mouse(self, mouse: Mouse) -> None:
        if mouse.move is not None:
            self._send(self._motion(mouse.move))
        for point, button, count in (
            (mouse.left_click, LEFT, 1),
            (mouse.right_click, RIGHT, 1),
            (mouse.double_click, LEFT, 2),
            (mouse.triple_click, LEFT, 3),
            (mouse.middle_click, MIDDLE, 1),
        ):
            if point is not None:
                self._click(point, button, count)
        for drag, button in ((mouse.left_click_drag, LEFT), (mouse.right_click_drag, RIGHT)):
            if drag is not None:
                self._drag(drag, button)
        if mouse.buttons is not None:
            for wanted, kind, button in (
                (mouse.buttons.left_down, BUTTON_PRESS, LEFT),
                (mouse.buttons.left_up, BUTTON_RELEASE, LEFT),
                (mouse.buttons.right_down, BUTTON_PRESS, RIGHT),
                (mouse.buttons.right_up, BUTTON_RELEASE, RIGHT),
            ):
                if wanted:
                    self._send(self._fake(kind, button))
        if mouse.scroll:
            wheel = WHEEL_DOWN if mouse.scroll > 0 else WHEEL_UP
            turn = (self._fake(BUTTON_PRESS, wheel), self._fake(BUTTON_RELEASE, wheel))
            self._send(*turn * abs(mouse.scroll))

    def _click(self, point: Point, button: int, count: int) -> None:
        self._send(self._motion(point))
        for number in range(count):
            if number:
                self._pause(BETWEEN_CLICKS_S)
            self._press(BUTTON_RELEASE, button)
            self._pause(HOLD_S)
            self._let_go()

    def _drag(self, drag: Drag, button: int) -> None:
        start, end = drag
        self._send(self._motion(start))
        self._press(BUTTON_RELEASE, button)
        self._pause(DRAG_REST_S)
        for point in drag_path(start, end):
            self._send(self._motion(point))
            self._pause(DRAG_STEP_S)
        self._pause(DRAG_REST_S)
        self._let_go()

    def _use_keyboard(self, keyboard: Keyboard) -> None:
        if keyboard.text:
            self._type([keysyms.of_character(each) for each in keyboard.text.replace("\r\n", "\n")])
        if keyboard.keys:
            self._chord(split_chord(keyboard.keys))

    def _type(self, text: Sequence[int]) -> None:
        capitals = self._has_caps_lock()
        if capitals:
            self._chord(["capslock"])
        while text:
            count = max(1, self._keys.keymap.count_fitting(text[:BATCH]))
            self._provide(text[:count])
            self._send(*self._strokes(text[:count]))
            self._connection.sync()
            self._unread = True
            text = text[count:]
        if capitals:
            self._chord(["capslock"])

    def _provide(self, keysyms: Sequence[int]) -> None:
        if self._unread and self._keys.takes_back(keysyms):
            self._rest()
            self._unread = False
        self._keys.provide(keysyms)

    def _strokes(self, text: Sequence[int]) -> Iterator[bytes]:
        """Yield the presses and releases that type a text; all shifts are let go at the end."""
        held: frozenset[int] = frozenset()
        for keysym in text:
            stroke = self._find(keysym)
            shifts = self._shifts(stroke)
            yield from (self._fake(KEY_RELEASE, each) for each in held - shifts)
            yield from (self._fake(KEY_PRESS, each) for each in shifts - held)
            yield self._fake(KEY_PRESS, stroke.keycode)
            yield self._fake(KEY_RELEASE, stroke.keycode)
            held = shifts
        yield from (self._fake(KEY_RELEASE, each) for each in held)

    def _shifts(self, stroke: Stroke) -> frozenset[int]:
        """Return the keycodes to hold for a stroke."""
        needed = ((stroke.shift, keysyms.SHIFT), (stroke.second_group, keysyms.SECOND_GROUP))
        return frozenset(self._find(keysym).keycode for is_needed, keysym in needed if is_needed)

    def _chord(self, names: Sequence[str]) -> None:
        """Press the keys in order, hold them, let them go the other way round.

        With other keys a letter is the key itself: ctrl+S is what people call control S, not control shift S.
        """
        self._hold(keysyms.of_key(_as_key(name) if len(names) > 1 else name) for name in names)
        self._pause(HOLD_S)
        self._let_go()
        self._unread = True

    @contextmanager
    def _holding(self, names: Sequence[str]) -> Iterator[None]:
        """Keep keys down for the length of a block."""
        self._hold(keysyms.of_key(_as_key(name)) for name in names)
        self._held = len(self._down)
        try:
            yield
        finally:
            self._held = 0
            self._let_go()

    def _hold(self, keys: Iterable[int]) -> None:
        """Press keys in order, and leave them down."""
        wanted = list(keys)
        self._provide(wanted)
        for keysym in wanted:
            stroke = self._find(keysym)
            for keycode in (*self._shifts(stroke), stroke.keycode):
                if (KEY_RELEASE, keycode) not in self._down:
                    self._press(KEY_RELEASE, keycode)

    def _find(self, keysym: int) -> Stroke:
        stroke = self._keys.keymap.find(keysym)
        if stroke is None:
            raise NotSupported(f"the X server's keymap has no key left to give keysym {keysym:#x}")
        return stroke

    def _has_caps_lock(self) -> bool:
        reply = self._connection.ask(struct.pack("<BxHI", _QUERY_POINTER, 2, self._connection.screen.root))
        return bool(struct.unpack_from("<H", reply, 24)[0] & _LOCK_MASK)

    def _press(self, release: int, detail: int) -> None:
        self._down.append((release, detail))  # first: a press that fails half-way is let go as well
        self._send(self._fake(release - 1, detail))

    def _let_go(self) -> None:
        while len(self._down) > self._held:
            self._send(self._fake(*self._down.pop()))

    @contextmanager
    def _all_let_go(self) -> Iterator[None]:
        try:
            yield
        finally:
            self._let_go()
            self._connection.sync()

    def _motion(self, point: Point) -> bytes:
        return self._fake(MOTION, 0, point)

    def _fake(self, kind: int, detail: int, point: Point = (0, 0)) -> bytes:
        """Return the request of one event, as XTestFakeInput (XTEST 2.2)."""
        root = self._connection.screen.root
        return struct.pack("<BBHBBxxII8xhh8x", self._major, _FAKE_INPUT, 9, kind, detail, 0, root, *point)

    def _send(self, *requests: bytes) -> None:
        self._connection.send(*requests)


def drag_path(start: Point, end: Point) -> list[Point]:
    """Return where the pointer comes by on a straight drag, slow at both ends; the last point is ``end``."""
    (x1, y1), (x2, y2) = start, end
    duration_s = math.hypot(x2 - x1, y2 - y1) / DRAG_SPEED_PX_S
    count = max(8, math.ceil(duration_s / DRAG_STEP_S))
    shares = ((1 - math.cos(math.pi * step / count)) / 2 for step in range(1, count + 1))
    return [(round(x1 + (x2 - x1) * share), round(y1 + (y2 - y1) * share)) for share in shares]


def _as_key(name: str) -> str:
    return name.lower() if len(name) == len(name.lower()) == 1 else name
