"""Anthropic's computer-use tool: its versions, and each of its calls as the environment's actions.

Source: https://platform.claude.com/docs/en/agents-and-tools/tool-use/computer-use-tool
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gym_queue.benchmark.agents.batch import Deed
from gym_queue.benchmark.agents.hand import BadCall, Click, Hand
from gym_queue.benchmark.agents.images import Size

ToolVersion = Literal["computer_toolset_20260801", "computer_20251124", "computer_20250124"]
TOOLSET: ToolVersion = "computer_toolset_20260801"
_BETAS: dict[ToolVersion, str] = {
    "computer_20251124": "computer-use-2025-11-24",
    "computer_20250124": "computer-use-2025-01-24",
}
_OLDER: tuple[tuple[str, ToolVersion], ...] = (
    (r"claude-(opus-4-[567]|sonnet-4-6)", "computer_20251124"),
    (r"claude-(3|opus-4|sonnet-4|haiku-4)(?!-8)", "computer_20250124"),
)
"""Models that know no toolset → the newest tool that they do know."""
UNHELD = "a key cannot be held down on its own here: use key, with repeat for several presses"
NO_SCREEN = "This environment has no screen: read its text."


class Input(BaseModel):
    """What any of the tool's calls may say; names that are not known are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    action: str
    coordinate: tuple[int, int] | None = None
    start_coordinate: tuple[int, int] | None = None
    text: str | None = None
    key: str | None = None
    duration: float | None = None
    repeat: int = 1
    scroll_direction: Literal["up", "down", "left", "right"] | None = None
    scroll_amount: int = Field(3, ge=0, le=1000)
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the tool, whichever its version."""

    id: str
    name: str
    """The tool's, or the toolset's member's."""
    toolset: str | None
    input: Any


def version_for(model: str) -> ToolVersion:
    """Return the newest version of the tool that a model knows."""
    return next((version for pattern, version in _OLDER if re.search(pattern, model)), TOOLSET)


def tool_entry(version: ToolVersion, size: Size) -> dict[str, Any]:
    """Return the tool as a request names it.

    Args:
        version: Of the tool.
        size: width, height of screenshots, in pixels.
    """
    if version == TOOLSET:
        return {"type": version, "configs": {"hold_key": {"enabled": False}}}
    width, height = size
    zoom = {"enable_zoom": True} if version == "computer_20251124" else {}
    return {
        "type": version,
        "name": "computer",
        "display_width_px": width,
        "display_height_px": height,
        **zoom,
    }


def beta_headers(version: ToolVersion) -> dict[str, str]:
    """Return the headers that a version of the tool needs."""
    return {"anthropic-beta": _BETAS[version]} if version in _BETAS else {}


def translate(call: Call, hand: Hand) -> Deed:
    """Return what a call comes to.

    Raises:
        BadCall: It is not a call of the tool, or the environment cannot do it.
    """
    asked = _parse(call)
    name = asked.action
    clicks: tuple[Click, ...] = get_args(Click)
    for click in clicks:
        if name == click:
            return Deed(hand.click(click, asked.coordinate, asked.text))
    kinds = {
        "key": lambda: Deed(hand.press(_need(asked.text, "text"), repeat=asked.repeat)),
        "type": lambda: Deed(hand.type(_need(asked.text, "text"))),
        "mouse_move": lambda: Deed(hand.move(_need(asked.coordinate, "coordinate"))),
        "left_click_drag": lambda: _drag(asked, hand),
        "left_mouse_down": lambda: _button(asked, hand, is_down=True),
        "left_mouse_up": lambda: _button(asked, hand, is_down=False),
        "scroll": lambda: _scroll(asked, hand),
        "wait": lambda: Deed(hand.wait(_need(asked.duration, "duration"))),
        "screenshot": lambda: Deed(text=NO_SCREEN, is_look=True),
        "zoom": lambda: Deed(text=NO_SCREEN, is_look=True, region=_need(asked.region, "region")),
        "cursor_position": lambda: Deed(text=_position(hand)),
    }
    if name == "hold_key":
        raise BadCall(UNHELD)
    if name not in kinds:
        raise BadCall(f"there is no action {name!r}; known are {', '.join((*clicks, *kinds))}")
    return kinds[name]()


def _parse(call: Call) -> Input:
    if not isinstance(call.input, dict):
        raise BadCall("the input must be an object")
    if call.toolset is None and call.name != "computer":
        raise BadCall(f"there is no tool {call.name!r}; there is computer")
    named = {"action": call.name} if call.toolset else {}
    given = {name: value for name, value in call.input.items() if value is not None}
    try:
        return Input.model_validate(given | named)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise BadCall(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _button(asked: Input, hand: Hand, *, is_down: bool) -> Deed:
    go = hand.move(asked.coordinate) if asked.coordinate else []
    return Deed([*go, *hand.button(is_down=is_down)])


def _drag(asked: Input, hand: Hand) -> Deed:
    return Deed(hand.drag(asked.start_coordinate, _need(asked.coordinate, "coordinate"), asked.text))


def _scroll(asked: Input, hand: Hand) -> Deed:
    direction = _need(asked.scroll_direction, "scroll_direction")
    clicks = asked.scroll_amount if direction in ("down", "right") else -asked.scroll_amount
    turn = hand.scroll if direction in ("up", "down") else hand.scroll_sideways
    return Deed(turn(clicks, asked.coordinate, asked.text or asked.key))


def _position(hand: Hand) -> str:
    if hand.position is None:
        raise BadCall("the pointer was not moved yet: give a coordinate")
    return f"X={hand.position[0]},Y={hand.position[1]}"


def _need(value: Any, name: str) -> Any:
    if value is None:
        raise BadCall(f"{name} is missing")
    return value
