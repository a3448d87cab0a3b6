from __future__ import annotations

import struct

import pytest

from gym_queue.errors import ActionInvalid, NotSupported
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.display.connection import COOKIE_NAME, read_cookie
from gym_queue.runners.display.gestures import drag_path
from gym_queue.runners.display.input import check


@pytest.mark.parametrize(
    "action",
    [
        {"mouse": {"left_click": [640, 10]}},
        {"mouse": {"left_click_drag": [[0, 0], [10, 480]]}},
        {"keyboard": {"keys": ["ctrl", "nokey"]}},
        {"mouse": {"left_click": [1, 1], "held": ["nokey"]}},
        {"keyboard": {"text": "fine until \x07"}},
    ],
)
def test_what_cannot_be_done_is_refused(action: dict[str, object]) -> None:
    with pytest.raises(ActionInvalid):
        check(parse_actions([action])[0], (640, 480))


def test_a_desktop_takes_no_voice() -> None:
    with pytest.raises(NotSupported):
        check(parse_actions([{"voice": {"pcm16_b64": ""}}])[0], (640, 480))


@pytest.mark.parametrize("end", [(3, 0), (500, 400), (0, 0), (1200, 5)])
def test_a_drag_passes_points_in_order_and_ends_where_it_should(end: tuple[int, int]) -> None:
    path = drag_path((0, 0), end)
    assert path[-1] == end
    assert len(path) >= 8
    assert path == sorted(path)


def test_a_cookie_is_found_by_its_display() -> None:
    def entry(number: bytes, name: bytes, data: bytes) -> bytes:
        fields = (b"host", number, name, data)
        return struct.pack(">H", 256) + b"".join(struct.pack(">H", len(each)) + each for each in fields)

    authority = (
        entry(b"0", b"OTHER", b"x") + entry(b"1", COOKIE_NAME, b"one") + entry(b"99", COOKIE_NAME, b"two")
    )
    assert read_cookie(authority, 99) == b"two"
    assert read_cookie(authority, 7) is None
    assert read_cookie(entry(b"", COOKIE_NAME, b"any"), 7) == b"any"
