from __future__ import annotations

import pytest

from gym_queue.cli.keyboard import KeyReader
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.local.keys import encode_keys, encode_text


def keys(*names: str) -> dict[str, object]:
    return {"keyboard": {"keys": list(names)}}


def text(typed: str) -> dict[str, object]:
    return {"keyboard": {"text": typed}}


@pytest.mark.parametrize(
    ("sent", "actions"),
    [
        (b"ls -la\r", [text("ls -la"), keys("enter")]),
        (b"\x03", [keys("ctrl", "c")]),
        (b"a\x1d", [text("a"), keys("ctrl", "]")]),
        (b"\x1b[A\x1bOB\x1b[1;5C", [keys("up"), keys("down"), keys("ctrl", "right")]),
        (b"\x1b[3~\x1b[6;2~\x1b[15~\x1bOP", [keys("delete"), keys("shift", "pgdn"), keys("f5"), keys("f1")]),
        (b"\x1b[Z\t\x7f\x00", [keys("shift", "tab"), keys("tab"), keys("backspace"), keys("ctrl", "space")]),
        (b"\x1bx\x1b\x7f", [keys("alt", "x"), keys("alt", "backspace")]),
        ("é漢".encode(), [text("é漢")]),
        (b"\x1b[?1;2c\x1b[200~", []),
    ],
)
def test_what_a_terminal_sends_is_what_was_pressed(sent: bytes, actions: list[object]) -> None:
    reader = KeyReader()
    assert reader.read(sent) == actions
    assert not reader.is_waiting


def test_what_comes_in_pieces_is_the_same() -> None:
    for sent in (b"\x1b[1;5C", "x漢".encode(), b"\x1bOP"):
        reader = KeyReader()
        pieces = [each for byte in sent for each in reader.read(bytes([byte]))]
        whole = "".join(str(each) for each in KeyReader().read(sent))
        assert "".join(map(str, pieces)).replace("'}}{'keyboard': {'text': '", "") == whole


def test_an_escape_that_nothing_follows_is_the_escape_key() -> None:
    reader = KeyReader()
    assert reader.read(b"\x1b") == []
    assert reader.is_waiting
    assert reader.flush() == [keys("esc")]
    assert reader.flush() == []


@pytest.mark.parametrize("code", [*range(0x20), 0x7F])
def test_every_control_key_reaches_a_terminal_as_it_was_pressed(code: int) -> None:
    reader = KeyReader()
    actions = parse_actions([*reader.read(bytes([code])), *reader.flush()])
    sent = b"".join(
        encode_keys(each.keyboard.keys) if each.keyboard.keys else encode_text(each.keyboard.text or "")
        for each in actions
        if each.keyboard
    )
    assert sent == bytes([code])
