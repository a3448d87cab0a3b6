"""What viewers may say."""

from __future__ import annotations

import struct

import pytest

from gym_queue.runners.qemu.screen.rfb import UnknownMessage, ViewerFilter

HELLO = b"RFB 003.008\n" + b"\x01" + b"\x00"
PIXEL_FORMAT = b"\x00" + bytes(range(19))
REQUEST = struct.pack(">BBHHHH", 3, 1, 0, 0, 640, 480)
KEY = struct.pack(">BBHI", 4, 1, 0, 0x7A)
POINTER = struct.pack(">BBHH", 5, 1, 10, 20)
EXTENDED_KEY = struct.pack(">BBHII", 255, 0, 1, 0x7A, 44)


def cut_text(length: int, text: bytes) -> bytes:
    return struct.pack(">B3xi", 6, length) + text


def encodings(*numbers: int) -> bytes:
    return struct.pack(f">BxH{len(numbers)}i", 2, len(numbers), *numbers)


def opened(*, control: bool) -> ViewerFilter:
    gate = ViewerFilter(control=control)
    gate.feed(HELLO)
    return gate


def test_the_handshake_is_handed_on_and_the_screen_is_always_shared() -> None:
    gate = ViewerFilter(control=False)
    assert gate.feed(b"RFB 003.008\n") == b"RFB 003.008\n"
    assert gate.feed(b"\x02") == b"\x02"
    assert (gate.feed(bytes(16)), gate.is_open) == (bytes(16), False)
    assert (gate.feed(b"\x00"), gate.is_open) == (b"\x01", True)


def test_who_only_looks_sends_nothing_that_acts() -> None:
    gate = opened(control=False)
    sent = PIXEL_FORMAT + KEY + POINTER + EXTENDED_KEY + cut_text(3, b"abc") + REQUEST
    assert gate.feed(sent) == PIXEL_FORMAT + REQUEST


def test_who_controls_sends_keys_and_the_pointer_but_no_clipboard() -> None:
    gate = opened(control=True)
    assert gate.feed(KEY + cut_text(3, b"abc") + POINTER + EXTENDED_KEY) == KEY + POINTER + EXTENDED_KEY


def test_messages_come_in_any_pieces() -> None:
    gate = ViewerFilter(control=True)
    sent = HELLO + REQUEST + cut_text(-4, b"abcd") + KEY
    assert b"".join(gate.feed(bytes([byte])) for byte in sent) == HELLO[:-1] + b"\x01" + REQUEST + KEY


@pytest.mark.parametrize(("control", "kept"), [(False, (7, 0, -223, -24)), (True, (7, 0, -223, -24, -258))])
def test_extensions_that_make_viewers_say_more_are_not_asked_for(
    control: bool, kept: tuple[int, ...]
) -> None:
    asked = (7, 0, -223, -24, -258, -259, -308, -312, -313, -0x3F5E1A32)
    assert opened(control=control).feed(encodings(*asked)) == encodings(*kept)


def test_no_encodings_are_none() -> None:
    assert opened(control=False).feed(encodings()) == encodings()


@pytest.mark.parametrize(
    "sent",
    [
        b"RFB 003.003\n",
        b"GET / HTTP/1",
        b"RFB 003.008\n\x13",
        HELLO + b"\x96",
        HELLO + b"\xff\x01",
        HELLO + cut_text(1 << 30, b""),
    ],
)
def test_what_cannot_be_taken_apart_ends_the_viewer(sent: bytes) -> None:
    with pytest.raises(UnknownMessage):
        ViewerFilter(control=True).feed(sent)
