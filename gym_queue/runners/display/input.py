"""Mouse and keyboard by XTEST."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.protocol.actions import Action, Keyboard, Point
from gym_queue.runners.display import keysyms
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.display.gestures import Button, Gestures, Part, check_devices
from gym_queue.runners.display.keyboard import Keyboard as Keys
from gym_queue.runners.display.keyboard import Stroke
from gym_queue.runners.keynames import as_key, split_chord

WHEEL_UP, WHEEL_DOWN = 4, 5
KEY_PRESS, KEY_RELEASE, BUTTON_PRESS, BUTTON_RELEASE, MOTION = 2, 3, 4, 5, 6
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
    check_devices(action, resolution)
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
        self._rest = rest
        extension = connection.extension("XTEST")
        if extension is None:
            raise RunnerFailed("the X server has no XTEST extension: start it without -tst")
        self._major = extension.major
        connection.send(
            struct.pack("<BBHBxxx", self._major, _GRAB_CONTROL, 2, 1)
        )  # menus may grab the server
        self._keys = Keys(connection)
        self._gestures = Gestures(self, pause=pause)
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
        with self._gestures.all_let_go():
            if action.mouse is not None:
                with self._holding(split_chord(action.mouse.held or ())):
                    self._gestures.use(action.mouse)
            if action.keyboard is not None:
                self._use_keyboard(action.keyboard)

    def move(self, point: Point) -> None:
        """Put the pointer at a point."""
        self._send(self._fake(MOTION, 0, point))

    def press(self, part: Part) -> None:
        """Press a button, or a key by its keycode."""
        self._send(self._change(part, is_down=True))

    def release(self, part: Part) -> None:
        """Let a button or key go."""
        self._send(self._change(part, is_down=False))

    def scroll(self, clicks: int) -> None:
        """Turn the wheel; positive is down."""
        wheel = WHEEL_DOWN if clicks > 0 else WHEEL_UP
        turn = (self._fake(BUTTON_PRESS, wheel), self._fake(BUTTON_RELEASE, wheel))
        self._send(*turn * abs(clicks))

    def sync(self) -> None:
        """Return when the server has handed every event on."""
        self._connection.sync()

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
        self._hold(keysyms.of_key(as_key(name) if len(names) > 1 else name) for name in names)
        self._gestures.hold_and_let_go()
        self._unread = True

    @contextmanager
    def _holding(self, names: Sequence[str]) -> Iterator[None]:
        """Keep keys down for the length of a block."""
        self._hold(keysyms.of_key(as_key(name)) for name in names)
        with self._gestures.keeping():
            yield

    def _hold(self, keys: Iterable[int]) -> None:
        """Press keys in order, and leave them down."""
        wanted = list(keys)
        self._provide(wanted)
        for keysym in wanted:
            stroke = self._find(keysym)
            for keycode in (*self._shifts(stroke), stroke.keycode):
                self._gestures.press(keycode)

    def _find(self, keysym: int) -> Stroke:
        stroke = self._keys.keymap.find(keysym)
        if stroke is None:
            raise NotSupported(f"the X server's keymap has no key left to give keysym {keysym:#x}")
        return stroke

    def _has_caps_lock(self) -> bool:
        reply = self._connection.ask(struct.pack("<BxHI", _QUERY_POINTER, 2, self._connection.screen.root))
        return bool(struct.unpack_from("<H", reply, 24)[0] & _LOCK_MASK)

    def _change(self, part: Part, *, is_down: bool) -> bytes:
        if isinstance(part, Button):
            return self._fake(BUTTON_PRESS if is_down else BUTTON_RELEASE, part.value)
        return self._fake(KEY_PRESS if is_down else KEY_RELEASE, int(part))

    def _fake(self, kind: int, detail: int, point: Point = (0, 0)) -> bytes:
        """Return the request of one event, as XTestFakeInput (XTEST 2.2)."""
        root = self._connection.screen.root
        return struct.pack("<BBHBBxxII8xhh8x", self._major, _FAKE_INPUT, 9, kind, detail, 0, root, *point)

    def _send(self, *requests: bytes) -> None:
        self._connection.send(*requests)
