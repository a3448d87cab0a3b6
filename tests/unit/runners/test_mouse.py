from __future__ import annotations

import pytest

from gym_queue.protocol.actions import Mouse
from gym_queue.runners.local.mouse import Pointer
from tests.unit.runners.terminals import FedScreen

SGR_CLICKS = "\x1b[?1000h\x1b[?1006h"


def act(modes: str, **mouse) -> str:
    return Pointer(FedScreen().feed(modes).screen).act(Mouse.model_validate(mouse))


@pytest.mark.parametrize(
    ("modes", "mouse", "sent"),
    [
        ("", {"left_click": [15, 25]}, ""),
        (SGR_CLICKS, {"left_click": [15, 25]}, "\x1b[<0;2;2M\x1b[<0;2;2m"),
        (SGR_CLICKS, {"right_click": [0, 0]}, "\x1b[<2;1;1M\x1b[<2;1;1m"),
        (SGR_CLICKS, {"middle_click": [0, 0]}, "\x1b[<1;1;1M\x1b[<1;1;1m"),
        (SGR_CLICKS, {"double_click": [0, 0]}, "\x1b[<0;1;1M\x1b[<0;1;1m" * 2),
        (SGR_CLICKS, {"triple_click": [0, 0]}, "\x1b[<0;1;1M\x1b[<0;1;1m" * 3),
        (SGR_CLICKS, {"left_click_drag": [[0, 0], [30, 0]]}, "\x1b[<0;1;1M\x1b[<0;4;1m"),
        (
            "\x1b[?1002h\x1b[?1006h",
            {"left_click_drag": [[0, 0], [30, 0]]},
            "\x1b[<0;1;1M\x1b[<32;4;1M\x1b[<0;4;1m",
        ),
        (SGR_CLICKS, {"move": [50, 50]}, ""),
        ("\x1b[?1003h\x1b[?1006h", {"move": [50, 50]}, "\x1b[<35;6;3M"),
        (SGR_CLICKS, {"scroll": 2}, "\x1b[<65;1;1M" * 2),
        (SGR_CLICKS, {"scroll": -1}, "\x1b[<64;1;1M"),
        (SGR_CLICKS, {"move": [15, 25], "buttons": {"left_down": True}}, "\x1b[<0;2;2M"),
        ("\x1b[?1000h", {"left_click": [15, 25]}, '\x1b[M ""\x1b[M#""'),
        ("\x1b[?9h", {"left_click": [15, 25]}, '\x1b[M ""'),
        ("\x1b[?1049h", {"scroll": 1}, "\x1b[B" * 3),
        ("\x1b[?1049h\x1b[?1h", {"scroll": -1}, "\x1bOA" * 3),
    ],
)
def test_a_program_gets_the_reports_it_asked_for(modes, mouse, sent):
    assert act(modes, **mouse) == sent


def test_a_drag_made_of_buttons_reports_its_moves():
    pointer = Pointer(FedScreen().feed("\x1b[?1002h\x1b[?1006h").screen)
    pointer.act(Mouse.model_validate({"move": [0, 0], "buttons": {"left_down": True}}))
    assert pointer.act(Mouse(move=(25, 0))) == "\x1b[<32;3;1M"
    assert pointer.act(Mouse.model_validate({"buttons": {"left_up": True}})) == "\x1b[<0;3;1m"


def test_without_mouse_mode_the_wheel_scrolls_the_history():
    terminal = FedScreen(10, 3).feed("".join(f"{n}\r\n" for n in range(20)))
    assert Pointer(terminal.screen).act(Mouse(scroll=-2)) == ""
    assert terminal.text == "12\n13\n14"
