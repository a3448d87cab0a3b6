"""What a model wants done with mouse and keyboard, as actions of the environment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from gym_queue.benchmark.agents.images import OffImage, Point, Scale
from gym_queue.errors import ActionInvalid
from gym_queue.protocol.actions import MAX_WAIT_S, parse_actions
from gym_queue.runners.keynames import split_chord

Action = dict[str, Any]
Click = Literal["left_click", "right_click", "middle_click", "double_click", "triple_click"]
Keys = str | Sequence[str] | None
"""A chord; None is no key."""

MAX_REPEAT = 100
MAX_PATH = 50
"""Points of a drag; of a longer path that many are taken, evenly."""
SIDEWAYS = "shift"
"""Held while the wheel turns, it scrolls sideways: the wheel itself has no such turn."""


class BadCall(ValueError):
    """What the model asked for cannot be done; the sentence is for the model."""


class Hand:
    """One attempt's pointer. Points are pixels of the image that the model was shown.

    Args:
        scale: How that image and the screen go together.
    """

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._at: Point | None = None

    @property
    def position(self) -> Point | None:
        """Where the pointer is, in pixels of the model's image; None before it was first moved."""
        return None if self._at is None else self._scale.to_image(self._at)

    def move(self, point: Point, held: Keys = None) -> list[Action]:
        """Move the pointer, with keys held."""
        return self._mouse("move", self._go(point), held)

    def click(self, kind: Click, point: Point | None, held: Keys = None) -> list[Action]:
        """Click at a point, with keys held; None is where the pointer is."""
        return self._mouse(kind, self._go(point), held)

    def drag(self, start: Point | None, end: Point, held: Keys = None) -> list[Action]:
        """Drag with the left button, with keys held; a start of None is where the pointer is."""
        path = [self._go(start), self._go(end)]
        return self._mouse("left_click_drag", path, held)

    def trace(self, path: Sequence[Point], held: Keys = None) -> list[Action]:
        """Drag with the left button along a path of two points or more, with keys held."""
        if len(path) == 2:
            return self.drag(path[0], path[1], held)
        taken = [path[index * (len(path) - 1) // (MAX_PATH - 1)] for index in range(MAX_PATH)]
        first, *rest = taken if len(path) > MAX_PATH else path
        moves = [action for point in rest for action in self._mouse("move", self._go(point), held)]
        return [*self.move(first, held), *self.button(is_down=True), *moves, *self.button(is_down=False)]

    def button(self, *, is_down: bool) -> list[Action]:
        """Press or let go the left button where the pointer is."""
        return self._mouse("buttons", {"left_down": True} if is_down else {"left_up": True}, None)

    def scroll(self, clicks: int, point: Point | None, held: Keys = None) -> list[Action]:
        """Turn the wheel at a point, with keys held; positive is down."""
        where = {} if point is None else {"move": self._go(point)}
        return _checked([{"mouse": {**where, "scroll": clicks, **_held(held)}}])

    def scroll_sideways(self, clicks: int, point: Point | None, held: Keys = None) -> list[Action]:
        """Scroll sideways at a point, with keys held; positive is to the right."""
        keys = [key for key in split_chord(held or ()) if key != SIDEWAYS]
        return self.scroll(clicks, point, [SIDEWAYS, *keys])

    def press(self, keys: str | Sequence[str], *, repeat: int = 1) -> list[Action]:
        """Press a chord, once or several times."""
        chord = split_chord(keys)
        if not chord or not all(chord):
            raise BadCall("no key was named")
        if not 1 <= repeat <= MAX_REPEAT:
            raise BadCall(f"a key can be pressed 1 to {MAX_REPEAT} times at once, not {repeat}")
        return _checked([{"keyboard": {"keys": chord}}] * repeat)

    def type(self, text: str) -> list[Action]:
        """Type a text; a newline is Enter."""
        return _checked([{"keyboard": {"text": text}}])

    def wait(self, seconds: float) -> list[Action]:
        """Wait; in seconds."""
        if not 0 <= seconds <= MAX_WAIT_S:
            raise BadCall(f"one wait can take 0 to {MAX_WAIT_S:.0f} seconds, not {seconds}")
        return _checked([{"action": "wait", "time": float(seconds)}])

    def _go(self, point: Point | None) -> Point:
        if point is not None:
            try:
                self._at = self._scale.to_screen(point)
            except OffImage as error:
                raise BadCall(str(error)) from error
        if self._at is None:
            raise BadCall("the pointer was not moved yet: give a coordinate")
        return self._at

    def _mouse(self, key: str, value: Any, held: Keys) -> list[Action]:
        return _checked([{"mouse": {key: value, **_held(held)}}])


def _held(keys: Keys) -> dict[str, Any]:
    return {"held": split_chord(keys)} if keys else {}


def _checked(actions: list[Action]) -> list[Action]:
    try:
        parse_actions(actions)
    except ActionInvalid as error:
        raise BadCall(str(error)) from error
    return actions
