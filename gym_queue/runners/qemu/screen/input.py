"""Mouse and keyboard of a machine: as a person uses them, whatever runs inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from gym_queue.errors import NotSupported
from gym_queue.protocol.actions import Action, Keyboard
from gym_queue.runners.display.gestures import Gestures, check_devices
from gym_queue.runners.keynames import as_key, split_chord
from gym_queue.runners.qemu.screen.devices import QmpDevices
from gym_queue.runners.qemu.screen.qcodes import CAPS_LOCK, SHIFT, Stroke, of_key
from gym_queue.runners.qemu.screen.typing import XKeys, keys_of, lacking, strokes_of

AFTER_DEVICES_S = 0.03
"""From the guest's kernel to its X server, before more is typed at the server itself."""


def check(action: Action, resolution: tuple[int, int], *, has_x: bool) -> None:
    """See that an action is one for a machine's mouse and keyboard.

    Args:
        action: The action.
        resolution: width, height in pixels of the screen.
        has_x: Whether an X server inside types what a US keyboard lacks.

    Raises:
        ActionInvalid: A point is off the screen, a key has no such name, or no key types a character.
        NotSupported: A voice or api_call action, or there is no key for what it types.
    """
    check_devices(action, resolution)
    if action.mouse is not None:
        for name in split_chord(action.mouse.held or ()):
            if of_key(as_key(name)) is None:
                raise NotSupported(f"mouse.held: a virtual machine's keyboard has no key {name!r}")
    what = lacking(action.keyboard) if action.keyboard is not None else None
    if what is not None and not has_x:
        raise NotSupported(
            f"keyboard: {what} is not on a US keyboard, and this virtual machine has no X server that could give it a "
            "key: have a program inside put it in, by exec or its clipboard"
        )


class VmInput:
    """The input devices of one machine.

    Args:
        devices: Its tablet and keyboard.
        x: The keyboard of the X server inside; None where there is none.
        pause: Waits so many seconds; raises when the display was closed.
    """

    def __init__(self, devices: QmpDevices, x: XKeys | None, *, pause: Callable[[float], None]) -> None:
        self._devices, self._x, self._pause = devices, x, pause
        self._gestures = Gestures(devices, pause=pause)
        self._has_capitals = False
        """Whether Caps Lock is on, as far as it was pressed here."""

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

    def _use_keyboard(self, keyboard: Keyboard) -> None:
        if self._x is not None and (lacking(keyboard) is not None or (keyboard.text and self._x.answers())):
            self._devices.sync()
            self._pause(AFTER_DEVICES_S)
            self._x.use(keyboard)
            return
        if keyboard.text:
            self._type(_all_there(strokes_of(keyboard.text)))
        if keyboard.keys:
            self._chord(_all_there(keys_of(split_chord(keyboard.keys))))

    def _type(self, strokes: Sequence[Stroke]) -> None:
        had_capitals = self._has_capitals
        if had_capitals:
            self._chord([Stroke(CAPS_LOCK)])
        self._devices.type(strokes)
        if had_capitals:
            self._chord([Stroke(CAPS_LOCK)])

    def _chord(self, keys: Sequence[Stroke]) -> None:
        """Press the keys in order, hold them, let them go the other way round."""
        self._hold(keys)
        self._gestures.hold_and_let_go()
        self._has_capitals ^= any(key.qcode == CAPS_LOCK for key in keys)

    @contextmanager
    def _holding(self, names: Sequence[str]) -> Iterator[None]:
        """Keep keys down for the length of a block."""
        self._hold(_all_there([of_key(as_key(name)) for name in names]))
        with self._gestures.keeping():
            yield

    def _hold(self, keys: Sequence[Stroke]) -> None:
        for key in keys:
            for qcode in (SHIFT, key.qcode) if key.shift else (key.qcode,):
                self._gestures.press(qcode)


def _all_there(strokes: Sequence[Stroke | None]) -> list[Stroke]:
    return [stroke for stroke in strokes if stroke is not None]
