from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from gym_queue.runners.display.capture import Cursor, Pixels, draw_cursor
from gym_queue.runners.display.frames import BAND_LINES, FrameEncoder


def noise(width: int, height: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)


def decode(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("size", [(64, BAND_LINES * 2), (33, BAND_LINES + 7), (1, 1)])
def test_a_png_has_the_colours_of_the_screen(size: tuple[int, int]) -> None:
    screen = noise(*size)
    assert np.array_equal(decode(FrameEncoder(size).encode(screen)), screen[..., 2::-1])


def test_an_unchanged_screen_is_the_same_png_object() -> None:
    encoder, screen = FrameEncoder((64, 90)), noise(64, 90)
    assert encoder.encode(screen) is encoder.encode(screen.copy())


@pytest.mark.parametrize("row", [0, BAND_LINES - 1, BAND_LINES, 89])
def test_one_changed_pixel_is_in_the_next_png(row: int) -> None:
    encoder, screen = FrameEncoder((64, 90)), noise(64, 90)
    encoder.encode(screen)
    screen[row, 5, :3] ^= 255
    assert np.array_equal(decode(encoder.encode(screen)), screen[..., 2::-1])


def test_the_first_screen_may_be_black() -> None:
    assert not decode(FrameEncoder((8, 8)).encode(np.zeros((8, 8, 4), np.uint8))).any()


def test_a_cursor_covers_by_its_alpha() -> None:
    screen = np.full((4, 4, 4), 100, np.uint8)
    image = np.array([[[255, 255, 255, 255], [0, 0, 0, 0], [25, 50, 100, 128]]], np.uint8)
    draw_cursor(screen, Cursor(0, 1, image))
    assert screen[1, :3, :3].tolist() == [[255] * 3, [100] * 3, [75, 100, 150]]


@pytest.mark.parametrize(("left", "top"), [(-2, -2), (3, 3), (9, 0), (-9, -9)])
def test_a_cursor_at_the_edge_is_cut(left: int, top: int) -> None:
    screen = np.zeros((5, 5, 4), np.uint8)
    draw_cursor(screen, Cursor(left, top, np.full((3, 3, 4), 255, np.uint8)))
    seen = sum(0 <= left + x < 5 and 0 <= top + y < 5 for x in range(3) for y in range(3))
    assert (screen[..., 0] == 255).sum() == seen
