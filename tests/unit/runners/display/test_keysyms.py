from __future__ import annotations

import pytest

from gym_queue.errors import ActionInvalid
from gym_queue.runners.display.keysyms import of_character, of_key


@pytest.mark.parametrize(
    ("character", "keysym"),
    [("a", 0x61), ("é", 0xE9), ("ж", 0x1000436), ("😀", 0x101F600), ("\n", 0xFF0D), ("\t", 0xFF09)],
)
def test_characters(character: str, keysym: int) -> None:
    assert of_character(character) == keysym


@pytest.mark.parametrize("character", ["\x03", "\x85", "\ud800"])
def test_what_no_key_types_is_refused(character: str) -> None:
    with pytest.raises(ActionInvalid, match=r"U\+"):
        of_character(character)


@pytest.mark.parametrize(
    ("names", "keysym"),
    [
        (("enter", "Return", "KP_Enter"), 0xFF0D),
        (("ctrl", "Control", "lctrl"), 0xFFE3),
        (("super", "win", "cmd", "Super_L"), 0xFFEB),
        (("pgdn", "Page_Down", "Next"), 0xFF56),
        (("plus", "+"), 0x2B),
        (("F12", "f12"), 0xFFC9),
        (("space", " "), 0x20),
    ],
)
def test_a_key_has_the_names_that_people_call_it(names: tuple[str, ...], keysym: int) -> None:
    assert {of_key(name) for name in names} == {keysym}


def test_a_name_of_no_key_is_refused_by_name() -> None:
    with pytest.raises(ActionInvalid, match="hyperspace"):
        of_key("hyperspace")
