"""Actions as OpenAI's computer-use tool names them, checked, and as the environment's actions.

Source: https://developers.openai.com/api/docs/guides/tools-computer-use
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gym_queue.benchmark.agents.batch import Deed
from gym_queue.benchmark.agents.hand import BadCall, Click, Hand
from gym_queue.benchmark.agents.images import Point

WHEEL_PX = 100
"""Pixels that one click of the wheel is taken for."""
WAIT_S = 2.0
"""A wait that does not say how long."""
NO_SCREEN = "This environment has no screen: read its text."


class _Action(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class _At(_Action):
    x: int
    """Pixels from the left edge of the screenshot."""
    y: int
    """Pixels from its top edge."""

    @property
    def point(self) -> Point:
        return self.x, self.y


class _Held(_At):
    keys: list[str] | None = None
    """Keys to hold meanwhile."""


class ClickAt(_Held):
    """Click at a point."""

    type: Literal["click"]
    button: Literal["left", "right", "wheel", "middle", "back", "forward"] = "left"


class DoubleClickAt(_Held):
    """Click twice with the left button at a point."""

    type: Literal["double_click"]
    button: Literal["left"] = "left"


class MoveTo(_Held):
    """Move the pointer."""

    type: Literal["move"]


class ScrollAt(_Held):
    """Turn the mouse wheel at a point; 100 pixels are one click of the wheel."""

    type: Literal["scroll"]
    scroll_x: int = 0
    """Pixels; positive is to the right."""
    scroll_y: int = 0
    """Pixels; positive is down."""


class PathPoint(_At):
    """One point of a drag."""


class Drag(_Action):
    """Press the left button at a path's first point, move along it, and let the button go at its last."""

    type: Literal["drag"]
    path: list[PathPoint] = Field(min_length=2, max_length=1000)
    keys: list[str] | None = None


class Keypress(_Action):
    """Press keys together: one key, or a chord such as ["CTRL", "S"]."""

    type: Literal["keypress"]
    keys: list[str] = Field(min_length=1, max_length=20)


class TypeText(_Action):
    """Type a text; a newline is Enter."""

    type: Literal["type"]
    text: str


class Wait(_Action):
    """Wait, for the screen to change."""

    type: Literal["wait"]
    seconds: float = Field(WAIT_S, ge=0, le=600)


class Screenshot(_Action):
    """Look at the screen again, and do nothing."""

    type: Literal["screenshot"]


KINDS: tuple[type[_Action], ...] = (
    ClickAt,
    DoubleClickAt,
    MoveTo,
    ScrollAt,
    Drag,
    Keypress,
    TypeText,
    Wait,
    Screenshot,
)
AnyAction = Annotated[
    ClickAt | DoubleClickAt | MoveTo | ScrollAt | Drag | Keypress | TypeText | Wait | Screenshot,
    Field(discriminator="type"),
]
_PARSER: TypeAdapter[AnyAction] = TypeAdapter(AnyAction)
_BUTTONS: dict[str, Click] = {
    "left": "left_click",
    "right": "right_click",
    "wheel": "middle_click",
    "middle": "middle_click",
}
_INSTEAD = {"back": "alt+left", "forward": "alt+right"}
"""Buttons that no environment has → keys that browsers and file managers take for them."""


def name_of(kind: type[_Action]) -> str:
    """Return an action's ``type``."""
    (name,) = kind.model_fields["type"].annotation.__args__  # type: ignore[union-attr]
    return str(name)


def translate(raw: Any, hand: Hand) -> Deed:
    """Return what an action comes to.

    Raises:
        BadCall: It is not one, or the environment cannot do it.
    """
    given = (
        {name: value for name, value in raw.items() if value is not None} if isinstance(raw, dict) else raw
    )
    try:
        action = _PARSER.validate_python(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise BadCall(f"{where}: {first['msg']}" if where else str(first["msg"])) from None
    return _deed(action, hand)


def _deed(action: AnyAction, hand: Hand) -> Deed:  # noqa: C901  one case for each kind of action
    match action:
        case ClickAt(button=button) if button not in _BUTTONS:
            raise BadCall(f"this environment's mouse has no button {button}: press {_INSTEAD[button]}")
        case ClickAt():
            return Deed(hand.click(_BUTTONS[action.button], action.point, _named(action.keys)))
        case DoubleClickAt():
            return Deed(hand.click("double_click", action.point, _named(action.keys)))
        case MoveTo():
            return Deed(hand.move(action.point, _named(action.keys)))
        case ScrollAt():
            return _scroll(action, hand)
        case Drag(path=path):
            return Deed(hand.trace([each.point for each in path], _named(action.keys)))
        case Keypress():
            return Deed(hand.press(_named(action.keys)))
        case TypeText():
            return Deed(hand.type(action.text))
        case Wait():
            return Deed(hand.wait(action.seconds))
        case Screenshot():
            return Deed(text=NO_SCREEN, is_look=True)


def _scroll(action: ScrollAt, hand: Hand) -> Deed:
    keys = _named(action.keys)
    down = hand.scroll(_clicks(action.scroll_y), action.point, keys)
    if not action.scroll_x:
        return Deed(down)
    aside = hand.scroll_sideways(_clicks(action.scroll_x), action.point, keys)
    return Deed([*down, *aside] if action.scroll_y else aside)


def _clicks(distance_px: int) -> int:
    return round(distance_px / WHEEL_PX) or (distance_px > 0) - (distance_px < 0)


def _named(keys: Sequence[str] | None) -> list[str]:
    """Return keys by the names that environments know: words are lower case, characters as they are."""
    return [key if len(key) == 1 else key.lower() for key in keys or ()]
