from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.errors import ActionInvalid
from gym_queue.protocol.actions import Action, check_on_screen, parse_actions

HUGE = 10**400


def parse(raw: Any) -> Action:
    return parse_actions([raw])[0]


@pytest.mark.parametrize(
    "key", ["left_click", "right_click", "double_click", "triple_click", "middle_click", "move"]
)
def test_every_point_of_the_mouse_is_taken(key: str) -> None:
    action = parse({"mouse": {key: [10, 20]}})
    assert getattr(action.mouse, key) == (10, 20)


@pytest.mark.parametrize("key", ["left_click_drag", "right_click_drag"])
def test_every_drag_is_taken(key: str) -> None:
    action = parse({"mouse": {key: [[1, 2], [3, 4]]}})
    assert getattr(action.mouse, key) == ((1, 2), (3, 4))


@pytest.mark.parametrize("key", ["left_down", "left_up", "right_down", "right_up"])
def test_every_button_is_taken(key: str) -> None:
    mouse = parse({"mouse": {"buttons": {key: True}}}).mouse
    assert mouse is not None
    assert mouse.buttons is not None
    assert mouse.buttons.model_dump() == {
        name: name == key for name in ("left_down", "left_up", "right_down", "right_up")
    }


def test_every_other_key_is_taken() -> None:
    raw = {
        "mouse": {"scroll": -3},
        "keyboard": {"text": "hi\n", "keys": ["ctrl", "s"]},
        "voice": {"pcm16_b64": "", "rate": 8000, "channels": 2},
        "api_call": {"name": "f", "args": {"x": [1]}},
    }
    assert parse(raw).model_dump(mode="json", exclude_unset=True) == raw
    keyboard = parse({"keyboard": {"keys": "enter"}}).keyboard
    assert keyboard is not None
    assert keyboard.keys == "enter"


@pytest.mark.parametrize(
    ("raw", "wait_s"),
    [
        ({}, 1.0),
        ({"time": 2}, 2.0),
        ({"seconds": 0.5}, 0.5),
        ({"time": 0}, 0.0),
        ({"time": 3, "seconds": 4}, 3.0),
    ],
)
def test_a_wait_says_how_long_in_either_word(raw: dict, wait_s: float) -> None:
    assert parse({"action": "wait", **raw}).wait_s == wait_s


@pytest.mark.parametrize(
    ("raw", "key"),
    [
        ({"mose": {}}, "mose"),
        ({"mouse": {"left_clik": [1, 1]}}, "mouse.left_clik"),
        ({"mouse": {"buttons": {"middle_down": True}}}, "mouse.buttons.middle_down"),
        ({"keyboard": {"key": "a"}}, "keyboard.key"),
        ({"api_call": {"name": "f", "arg": 1}}, "api_call.arg"),
    ],
)
def test_an_unknown_key_is_named(raw: dict, key: str) -> None:
    with pytest.raises(ActionInvalid) as caught:
        parse_actions([{}, raw])
    assert str(caught.value) == f"actions[1]: {key}: unknown key"
    assert caught.value.details == {"index": 1, "key": key}


@pytest.mark.parametrize(("given_", "pixel"), [(10.0, 10), (10.7, 10), (0.2, 0), (63.99, 63)])
def test_a_float_means_the_pixel_it_lies_in(given_: float, pixel: int) -> None:
    mouse = parse({"mouse": {"move": [given_, 0]}}).mouse
    assert mouse is not None
    assert mouse.move == (pixel, 0)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, 1e300, -0.5, -1, 65536, HUGE, True, "5", None, [], {}, "\ud800"]
)
def test_what_is_no_pixel_is_refused(value: object) -> None:
    with pytest.raises(ActionInvalid, match=r"actions\[0\]: mouse\.move\.0: "):
        parse({"mouse": {"move": [value, 0]}})


@pytest.mark.parametrize(
    "raw",
    [
        {"mouse": {"move": [1]}},
        {"mouse": {"move": [1, 2, 3]}},
        {"mouse": {"move": {"x": 1, "y": 2}}},
        {"mouse": {"left_click_drag": [[1, 2]]}},
        {"mouse": {"scroll": 2.5}},
        {"mouse": {"scroll": 1001}},
        {"mouse": {"scroll": math.nan}},
        {"mouse": {"scroll": HUGE}},
        {"mouse": []},
        {"keyboard": {"text": 5}},
        {"keyboard": {"text": "x" * 100_001}},
        {"keyboard": {"text": "\ud800"}},
        {"keyboard": {"keys": ["\ud800"]}},
        {"keyboard": {"keys": [1]}},
        {"keyboard": {"keys": ["a"] * 21}},
        {"voice": {}},
        {"voice": {"pcm16_b64": "", "rate": 1}},
        {"api_call": {}},
        {"action": "jump"},
        {"action": "wait", "time": -1},
        {"action": "wait", "time": 601},
        {"action": "wait", "time": math.nan},
        {"action": "wait", "seconds": math.inf},
        {"action": "wait", "time": HUGE},
        {"action": "screenshot", "time": 1},
        {"time": 1},
        {1: 2},
        {"\ud800": 1},
    ],
)
def test_a_wrong_value_is_one_typed_sentence(raw: dict) -> None:
    with pytest.raises(ActionInvalid, match=r"^actions\[0\]: .+") as caught:
        parse(raw)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("raw", [None, "click", 5, ["mouse"]])
def test_what_is_no_dict_is_no_action(raw: object) -> None:
    with pytest.raises(ActionInvalid, match=r"actions\[0\]: the action: .*dictionary"):
        parse(raw)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
DEVICE = st.dictionaries(
    st.sampled_from(["move", "scroll", "buttons", "text", "keys", "name", "x"]), VALUES, max_size=3
)


@given(
    st.dictionaries(
        st.sampled_from(["mouse", "keyboard", "action", "time", "x"]), DEVICE | VALUES, max_size=3
    )
)
def test_any_input_is_an_action_or_a_typed_error(raw: dict[str, Any]) -> None:
    try:
        action = parse(raw)
    except ActionInvalid:
        return
    assert 0 <= action.wait_s <= 600


@pytest.mark.parametrize(
    "mouse", [{"move": [64, 0]}, {"left_click": [0, 48]}, {"right_click_drag": [[0, 0], [63, 48]]}]
)
def test_a_point_off_the_screen_is_refused_with_its_place(mouse: dict) -> None:
    actions = parse_actions([{"mouse": {"left_click_drag": [[0, 0], [63, 47]]}}, {"mouse": mouse}])
    with pytest.raises(ActionInvalid, match="off the screen of 64 x 48 pixels") as caught:
        check_on_screen(actions, (64, 48))
    assert caught.value.details == {"index": 1, "key": f"mouse.{next(iter(mouse))}"}
