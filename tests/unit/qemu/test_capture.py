"""Pictures of a machine's screen, and where they differ; what QEMU itself writes is seen by tests/service/qemu and tests/vm."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.screen.capture import Capture, ScreenWatch

WIDTH, HEIGHT = 100, 70


class Monitor:
    """Writes a screen where QEMU's monitor would: as a PPM into the descriptor that it was handed."""

    def __init__(self, width: int, height: int) -> None:
        self.screen = np.zeros((height, width, 3), np.uint8)
        self.cut = 0
        self._fd = -1

    def ask(self, command: str, *, fds: list[int] | None = None, **_: Any) -> dict[str, int]:
        if fds:
            self._fd = fds[0]
        if command == "screendump":
            height, width, _rgb = self.screen.shape
            dump = b"P6\n%d %d\n255\n" % (width, height) + self.screen.tobytes()
            os.ftruncate(self._fd, 0)
            os.write(self._fd, dump[: len(dump) - self.cut])
        return {"fdset-id": 3}


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(WIDTH, HEIGHT)


@pytest.fixture
def capture(monitor: Monitor) -> Iterator[Capture]:
    capture = Capture(monitor, (WIDTH, HEIGHT))  # type: ignore[arg-type]  # it asks alone
    yield capture
    capture.close()


def test_a_screen_that_stands_still_differs_nowhere(monitor: Monitor, capture: Capture) -> None:
    assert capture.refresh() == set()
    monitor.screen[33, 65] = 1, 2, 3
    assert capture.refresh() == {(1, 2)}
    assert capture.refresh() == set()


def test_pictures_are_the_screens_in_blue_green_red(monitor: Monitor, capture: Capture) -> None:
    random = np.random.default_rng(1)
    for _ in range(20):
        top, left = random.integers(0, HEIGHT), random.integers(0, WIDTH)
        before = monitor.screen.copy()
        monitor.screen[top : top + 9, left : left + 40] = random.integers(0, 256, 3)
        tiles = capture.refresh()
        differs = np.argwhere((before != monitor.screen).any(axis=2)) // 32
        assert tiles == {(row, column) for row, column in differs.tolist()}
        assert np.array_equal(capture.pixels[..., 2::-1], monitor.screen)


def test_a_larger_screen_is_cut_and_what_is_beyond_is_no_change(monitor: Monitor) -> None:
    monitor.screen = np.full((HEIGHT + 5, WIDTH + 7, 3), 9, np.uint8)
    capture = Capture(monitor, (WIDTH, HEIGHT))  # type: ignore[arg-type]
    monitor.screen[HEIGHT + 1] = 200
    monitor.screen[:, WIDTH] = 200
    assert capture.refresh() == set()
    assert (capture.pixels[..., :3] == 9).all()
    assert capture.size == (WIDTH + 7, HEIGHT + 5)
    capture.close()


def test_a_screen_of_another_size_is_new_everywhere_and_black_where_it_lacks(
    monitor: Monitor, capture: Capture
) -> None:
    monitor.screen[:] = 255
    capture.refresh()
    monitor.screen = np.zeros((40, 50, 3), np.uint8)
    assert capture.refresh() == {(row, column) for row in range(3) for column in range(4)}
    assert not capture.pixels.any()
    assert capture.refresh() == set()


def test_half_a_picture_is_an_error(monitor: Monitor, capture: Capture) -> None:
    monitor.cut = 1
    monitor.screen[0, 0] = monitor.screen[HEIGHT - 1, 0] = 1
    with pytest.raises(RunnerFailed, match="half a picture"):
        capture.refresh()
    monitor.cut = 0
    assert capture.refresh() == {(0, 0), (2, 0)}


def test_a_look_tells_of_pictures_that_were_no_look(monitor: Monitor, capture: Capture) -> None:
    watch = ScreenWatch(capture)
    monitor.screen[0, 0] = 1
    watch.refresh()
    monitor.screen[40, 0] = 1
    assert watch.look() == {(0, 0), (1, 0)}
    assert watch.look() == set()
