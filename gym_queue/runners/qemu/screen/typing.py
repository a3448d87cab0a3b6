"""Text goes to the X server inside where there is one: it gives its free keys whatever no US keyboard has, and says
when it has taken the last key. A keyboard from outside cannot know: while the server has no time to read its devices,
the guest's kernel keeps 64 events for it and drops them all with the next (seen under emulation on a busy host)."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gym_queue.errors import RunnerFailed
from gym_queue.protocol.actions import Action, Keyboard
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.display.input import Input
from gym_queue.runners.keynames import as_key, split_chord
from gym_queue.runners.qemu.screen.qcodes import Stroke, of_character, of_key

logger = logging.getLogger(__name__)


def strokes_of(text: str) -> list[Stroke | None]:
    """Return what types each character of a text; None for those that a US keyboard lacks."""
    return [of_character(each) for each in text.replace("\r\n", "\n")]


def keys_of(names: list[str]) -> list[Stroke | None]:
    """Return the keys of a chord; None for those that a US keyboard lacks."""
    return [of_key(as_key(name) if len(names) > 1 else name) for name in names]


def lacking(keyboard: Keyboard) -> str | None:
    """Return what a US keyboard lacks of what an action types, in words; None when it has all.

    Raises:
        ActionInvalid: A key has no such name, or no key types a character.
    """
    text = keyboard.text or ""
    absent = next((each for each in dict.fromkeys(text) if of_character(each) is None), None)
    names = split_chord(keyboard.keys or ())
    unknown = next((name for name, key in zip(names, keys_of(names), strict=True) if key is None), None)
    if absent is not None:
        return f"the character {absent!r} (U+{ord(absent):04X})"
    return f"the key {unknown!r}" if unknown is not None else None


class XKeys:
    """A keyboard of the X server inside, connected to when it is first used, and again when the connection broke.

    Args:
        connect: Returns a connection to it; raises RunnerFailed.
        pause: Waits so many seconds; raises when the display was closed.
        rest: Waits until programs have read what was typed.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        *,
        pause: Callable[[float], None],
        rest: Callable[[], None],
    ) -> None:
        self._connect, self._pause, self._rest = connect, pause, rest
        self._connection: Connection | None = None
        self._input: Input | None = None

    def use(self, keyboard: Keyboard) -> None:
        """Type; returns when the server has handed every key on.

        Raises:
            RunnerFailed: No X server answers, or it went away.
        """
        try:
            self._ready().act(Action(keyboard=keyboard))
        except RunnerFailed:
            self.close()
            raise

    def answers(self) -> bool:
        """Whether an X server is there now; while the guest shows a console none is."""
        try:
            self._ready()
        except RunnerFailed as error:
            logger.info("text is typed by the machine's keyboard alone: %s", error)
            return False
        return True

    def all_read(self) -> None:
        """Take it that programs have read all that was typed so far."""
        if self._input is not None:
            self._input.all_read()

    def close(self) -> None:
        """Hang up; the next use connects anew. Safe to call twice, and from another thread."""
        connection, self._connection, self._input = self._connection, None, None
        if connection is not None:
            connection.close()

    def _ready(self) -> Input:
        try:
            if self._connection is not None and self._input is not None:
                self._connection.sync()
                for event in self._connection.events():
                    self._input.see(event)
                return self._input
        except RunnerFailed:  # a stream does not outlive the machine's going back to a snapshot
            self.close()
        self._connection = self._connect()
        self._input = Input(self._connection, pause=self._pause, rest=self._rest)
        return self._input
