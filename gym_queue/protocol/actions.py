"""Actions an agent may inject, checked at the door: an unknown key is an error that names it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from gym_queue.errors import ActionInvalid
from gym_queue.protocol.numbers import Whole

MAX_WAIT_S = 600.0
"""Longest ``wait`` action."""


def _to_pixel(value: object) -> object:
    """Turn a float coordinate, as models write them, into the pixel it lies in."""
    return math.floor(value) if isinstance(value, float) and abs(value) < 1e6 else value


Pixel = Annotated[
    int,
    BeforeValidator(_to_pixel),
    Field(ge=0, le=65535, strict=True),
    WithJsonSchema({"type": "number", "minimum": 0, "exclusiveMaximum": 65536}),
]
Point = tuple[Pixel, Pixel]
"""x, y in pixels from the top left corner."""
Drag = tuple[Point, Point]


Key = Annotated[str, Field(max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Buttons(_Strict):
    """Buttons pressed or let go where the pointer is."""

    left_down: StrictBool = False
    left_up: StrictBool = False
    right_down: StrictBool = False
    right_up: StrictBool = False


class Mouse(_Strict):
    """What to do with the mouse; keys are taken in the order they are declared here."""

    move: Point | None = None
    left_click: Point | None = None
    right_click: Point | None = None
    double_click: Point | None = None
    triple_click: Point | None = None
    middle_click: Point | None = None
    left_click_drag: Drag | None = None
    right_click_drag: Drag | None = None
    buttons: Buttons | None = None
    scroll: Annotated[int, Whole(-1000, 1000)] | None = None
    """Wheel clicks at the pointer; positive is down."""
    held: Key | Annotated[tuple[Key, ...], Field(max_length=20)] | None = None
    """Keys that are down meanwhile: ``["ctrl"]``, or one key's name. Desktops alone take them."""


class Keyboard(_Strict):
    """What to type."""

    text: Annotated[str, Field(max_length=100_000)] | None = None
    """Typed as it is; a newline is Enter."""
    keys: Key | Annotated[tuple[Key, ...], Field(max_length=20)] | None = None
    """One chord: ``["ctrl", "s"]``, or one key's name."""


class Voice(_Strict):
    """Speech for the environment's microphone."""

    pcm16_b64: str
    rate: Annotated[int, Whole(8000, 192_000)] = 16000
    channels: Annotated[int, Whole(1, 8)] = 1


class ApiCall(_Strict):
    """A call of an API that the environment itself offers."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)


class Action(_Strict):
    """One action: any of the devices, or a control action."""

    mouse: Mouse | None = None
    keyboard: Keyboard | None = None
    voice: Voice | None = None
    api_call: ApiCall | None = None
    action: Literal["screenshot", "wait"] | None = None
    time: Annotated[float, Field(ge=0, le=MAX_WAIT_S, strict=True)] | None = None
    seconds: Annotated[float, Field(ge=0, le=MAX_WAIT_S, strict=True)] | None = None

    @model_validator(mode="after")
    def _wait_has_its_own_keys(self) -> Action:
        if self.action != "wait" and (self.time is not None or self.seconds is not None):
            raise ValueError("time and seconds go with action: wait")
        return self

    @property
    def has_input(self) -> bool:
        """Whether a device is used; ``{}`` uses none, and a control action may come with one."""
        return any((self.mouse, self.keyboard, self.voice, self.api_call))

    @property
    def wait_s(self) -> float:
        """How long a ``wait`` action waits; 1 s when it does not say."""
        return next((value for value in (self.time, self.seconds) if value is not None), 1.0)


def parse_actions(raw: Sequence[Mapping[str, Any]]) -> tuple[Action, ...]:
    """Check a step's actions.

    Args:
        raw: The actions as they came.

    Returns:
        The actions, typed, in order.

    Raises:
        ActionInvalid: The first thing wrong, with the action's index and the key's path.
    """
    return tuple(_parse(index, action) for index, action in enumerate(raw))


def check_on_screen(actions: Sequence[Action], resolution: tuple[int, int]) -> None:
    """Check that every point lies on the screen, before any action is injected.

    Args:
        actions: A step's actions.
        resolution: width, height in pixels.

    Raises:
        ActionInvalid: A point does not.
    """
    width, height = resolution
    for index, action in enumerate(actions):
        for key, (x, y) in _points(action):
            if x >= width or y >= height:
                raise ActionInvalid(
                    f"mouse: the point ({x}, {y}) is off the screen of {width} x {height} pixels",
                    {"index": index, "key": key},
                )


def _points(action: Action) -> Iterator[tuple[str, Point]]:
    mouse = action.mouse or Mouse()
    for name in ("move", "left_click", "right_click", "double_click", "triple_click", "middle_click"):
        point = getattr(mouse, name)
        if point is not None:
            yield f"mouse.{name}", point
    for name in ("left_click_drag", "right_click_drag"):
        for point in getattr(mouse, name) or ():
            yield f"mouse.{name}", point


def _parse(index: int, raw: Mapping[str, Any]) -> Action:
    try:
        return Action.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the action"
        reason = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise ActionInvalid(f"actions[{index}]: {where}: {reason}", {"index": index, "key": where}) from None
