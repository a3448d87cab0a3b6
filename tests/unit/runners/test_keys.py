from __future__ import annotations

import pytest

from gym_queue.errors import ActionInvalid
from gym_queue.runners.local.keys import encode_keys, encode_text


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ("ctrl+c", b"\x03"),
        (["ctrl", "s"], b"\x13"),
        (["Ctrl", "S"], b"\x13"),
        (["ctrl", "space"], b"\0"),
        (["ctrl", "["], b"\x1b"),
        (["ctrl", "backspace"], b"\b"),
        (["alt", "x"], b"\x1bx"),
        (["ctrl", "alt", "x"], b"\x1b\x18"),
        (["shift", "a"], b"A"),
        ("enter", b"\r"),
        ("Return", b"\r"),
        ("esc", b"\x1b"),
        ("backspace", b"\x7f"),
        ("tab", b"\t"),
        ("shift+tab", b"\x1b[Z"),
        ("up", b"\x1b[A"),
        ("home", b"\x1b[H"),
        ("ctrl+left", b"\x1b[1;5D"),
        ("shift+end", b"\x1b[1;2F"),
        ("pgup", b"\x1b[5~"),
        ("Page_Down", b"\x1b[6~"),
        ("ctrl+delete", b"\x1b[3;5~"),
        ("insert", b"\x1b[2~"),
        ("F1", b"\x1bOP"),
        ("shift+f3", b"\x1b[1;2R"),
        ("f12", b"\x1b[24~"),
        ("a", b"a"),
        ("A", b"A"),
        ("é", "é".encode()),
        ("+", b"+"),
        ("ctrl++", b"+"),
        (["ctrl"], b""),
    ],
)
def test_a_chord_is_what_xterm_sends(keys, sent):
    assert encode_keys(keys) == sent


def test_arrows_follow_the_application_cursor_mode():
    assert encode_keys("up", application_cursor=True) == b"\x1bOA"
    assert encode_keys("ctrl+up", application_cursor=True) == b"\x1b[1;5A"


@pytest.mark.parametrize("keys", ["nokey", ["ctrl", "super"], "f13", ""])
def test_a_name_that_is_no_key_is_refused_with_some_that_are(keys):
    with pytest.raises(ActionInvalid, match=r"ctrl.*enter.*f1"):
        encode_keys(keys)


def test_text_is_typed_with_enter_for_newlines():
    assert encode_text("a\nb\r\nc\tñ") == "a\rb\rc\tñ".encode()
