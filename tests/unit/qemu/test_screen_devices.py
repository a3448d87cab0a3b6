"""Events of a machine's tablet and keyboard."""

from __future__ import annotations

import pytest

from gym_queue.runners.qemu.screen.devices import AXIS_VALUES, Event, axis_value, motion, stroke_events
from gym_queue.runners.qemu.screen.typing import strokes_of


@pytest.mark.parametrize("pixels", [320, 720, 1280, 1366, 1920, 3840])
def test_every_pixel_is_hit_by_guests_that_round_down(pixels: int) -> None:
    values = [axis_value(at, pixels) for at in range(pixels)]
    assert [value * pixels // AXIS_VALUES for value in values] == list(range(pixels))
    assert 0 <= values[0] < values[-1] < AXIS_VALUES


def test_a_point_beyond_the_guests_own_screen_is_the_last_within() -> None:
    assert motion((1000, 700), (640, 400)) == motion((639, 399), (640, 400))


def said(text: str) -> str:
    """Return what is typed, ``+`` for a press and ``-`` for a release."""
    strokes = [stroke for stroke in strokes_of(text) if stroke is not None]
    return " ".join(_said(event) for event in stroke_events(strokes))


def _said(event: Event) -> str:
    data = event["data"]
    return f"{'+' if data['down'] else '-'}{data['key']['data']}"


@pytest.mark.parametrize(
    ("text", "events"),
    [
        ("ab", "+a -a +b -b"),
        ("aB", "+a -a +shift +b -b -shift"),
        ("ABc", "+shift +a -a +b -b -shift +c -c"),
        ("\r\n", "+ret -ret"),
        ("", ""),
    ],
)
def test_shift_is_down_where_it_is_needed_alone(text: str, events: str) -> None:
    assert said(text) == events
