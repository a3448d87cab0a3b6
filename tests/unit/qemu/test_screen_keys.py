"""What is typed, as keys of a US keyboard."""

from __future__ import annotations

import string

import pytest

from gym_queue.errors import ActionInvalid, NotSupported
from gym_queue.protocol.actions import Action, parse_actions
from gym_queue.runners.display import keysyms
from gym_queue.runners.qemu.screen.input import check
from gym_queue.runners.qemu.screen.qcodes import Stroke, of_character, of_key

RESOLUTION = (640, 480)


def action(raw: dict[str, object]) -> Action:
    return parse_actions([raw])[0]


@pytest.mark.parametrize(
    ("character", "stroke"),
    [
        ("a", Stroke("a")),
        ("A", Stroke("a", shift=True)),
        ("7", Stroke("7")),
        ("&", Stroke("7", shift=True)),
        ('"', Stroke("apostrophe", shift=True)),
        ("\n", Stroke("ret")),
        ("é", None),
        ("😀", None),
    ],
)
def test_characters_are_on_their_keys(character: str, stroke: Stroke | None) -> None:
    assert of_character(character) == stroke


def test_all_of_ascii_is_typed_each_by_a_stroke_of_its_own() -> None:
    strokes = [of_character(each) for each in string.printable if each not in "\r\x0b\x0c"]
    assert None not in strokes
    assert len(set(strokes)) == len(strokes)


@pytest.mark.parametrize(
    ("name", "qcode"),
    [
        ("ctrl", "ctrl"),
        ("Return", "ret"),
        ("super", "meta_l"),
        ("Page_Up", "pgup"),
        ("F12", "f12"),
        ("altgr", "alt_r"),
    ],
)
def test_keys_have_their_names(name: str, qcode: str) -> None:
    assert of_key(name) == Stroke(qcode)


def test_every_key_that_desktops_know_is_known_but_those_no_pc_has() -> None:
    unknown = {name for name in keysyms._KEYS if of_key(name) is None}
    assert unknown == {f"f{number}" for number in range(13, 36)}


@pytest.mark.parametrize(
    "raw",
    [
        {"mouse": {"left_click": [640, 10]}},
        {"mouse": {"left_click": [1, 1], "held": ["nokey"]}},
        {"keyboard": {"keys": ["ctrl", "nokey"]}},
        {"keyboard": {"text": "fine until \x07"}},
    ],
)
def test_what_cannot_be_done_is_refused(raw: dict[str, object]) -> None:
    with pytest.raises(ActionInvalid):
        check(action(raw), RESOLUTION, has_x=True)


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"keyboard": {"text": "50 €"}}, "'€'"),
        ({"keyboard": {"keys": ["ctrl", "é"]}}, "'é'"),
        ({"keyboard": {"keys": "f20"}}, "'f20'"),
    ],
)
def test_what_no_us_keyboard_has_takes_an_x_server(raw: dict[str, object], named: str) -> None:
    check(action(raw), RESOLUTION, has_x=True)
    with pytest.raises(NotSupported, match=named):
        check(action(raw), RESOLUTION, has_x=False)


def test_keys_held_at_the_mouse_are_those_of_the_keyboard() -> None:
    with pytest.raises(NotSupported, match="f20"):
        check(action({"mouse": {"left_click": [1, 1], "held": "f20"}}), RESOLUTION, has_x=True)


def test_a_machine_takes_no_voice() -> None:
    with pytest.raises(NotSupported):
        check(action({"voice": {"pcm16_b64": ""}}), RESOLUTION, has_x=True)
