"""VmDisplay and VmCamera on a QEMU that has nothing to run."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from PIL import Image

from gym_queue.errors import ActionInvalid, NotSupported, RunnerFailed
from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.qemu.screen.camera import VmCamera
from gym_queue.runners.qemu.screen.capture import Capture
from gym_queue.runners.qemu.screen.display import VmDisplay
from tests.service.qemu.conftest import QEMU, Machine, StartMachine
from tests.waiting import wait_until

pytestmark = pytest.mark.needs(QEMU)
PLACEHOLDER = (640, 480)
"""What QEMU shows before a guest has set the screen up."""


def see(display: VmDisplay) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(display.observe_png())))


def test_a_screen_of_the_resolution_is_shown_as_it_is(machine: Machine) -> None:
    display = VmDisplay(machine.qmp, PLACEHOLDER)
    assert see(display).shape == (480, 640, 3)
    assert see(display).any()
    assert display.note is None


@pytest.mark.parametrize("resolution", [(800, 600), (320, 200), (1000, 100)])
def test_another_resolution_is_cut_or_padded_and_said(machine: Machine, resolution: tuple[int, int]) -> None:
    whole = see(VmDisplay(machine.qmp, PLACEHOLDER))
    display = VmDisplay(machine.qmp, resolution)
    width, height = (min(pair) for pair in zip(resolution, PLACEHOLDER, strict=True))
    seen = see(display)
    assert seen.shape == (resolution[1], resolution[0], 3)
    assert np.array_equal(seen[:height, :width], whole[:height, :width])
    assert not seen[height:].any()
    assert not seen[:, width:].any()
    assert "640 x 480" in (display.note or "")


def test_a_still_screen_is_the_same_png_and_settles(machine: Machine) -> None:
    display = VmDisplay(machine.qmp, PLACEHOLDER)
    before = display.observe_png()
    display.settle(settle_s=0.05, max_s=5)
    assert display.observe_png() is before


def test_what_changed_without_an_action_is_in_the_next_picture(start_machine: StartMachine) -> None:
    machine = start_machine()
    display, camera = VmDisplay(machine.qmp, PLACEHOLDER), VmCamera(machine.monitor("camera"), PLACEHOLDER)
    before = display.observe_png()
    first = camera.grab()
    assert first is not None
    assert camera.grab() is None
    machine.qmp.ask("cont")
    wait_until(lambda: display.observe_png() != before)
    wait_until(lambda: camera.grab() is not None)
    camera.close()
    camera.close()
    with pytest.raises(RunnerFailed):
        camera.grab()
    assert machine.qmp.ask("query-fdsets")[1:] == []  # the camera's is gone


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ({"mouse": {"left_click": [640, 1]}, "keyboard": {"text": "x"}}, ActionInvalid),
        ({"keyboard": {"text": "x", "keys": "nokey"}}, ActionInvalid),
        ({"keyboard": {"text": "né"}}, NotSupported),
        ({"mouse": {"left_click": [639, 479]}}, RunnerFailed),
    ],
)
def test_actions_are_refused_with_what_is_wrong(
    machine: Machine, raw: dict[str, object], error: type[Exception]
) -> None:
    display = VmDisplay(machine.qmp, PLACEHOLDER)
    with pytest.raises(error):  # the last for the machine, which stands still
        display.act(parse_actions([raw])[0])


def test_an_x_server_that_does_not_answer_is_said_so_and_tried_again(machine: Machine) -> None:
    calls: list[int] = []

    def connect_x():
        calls.append(1)
        raise RunnerFailed("no X server answers")

    display = VmDisplay(machine.qmp, PLACEHOLDER, connect_x=connect_x)
    for _ in range(2):
        with pytest.raises(RunnerFailed, match="no X server"):
            display.act(parse_actions([{"keyboard": {"text": "é"}}])[0])
    assert len(calls) == 2


def test_a_killed_machine_is_a_lost_runner(start_machine: StartMachine) -> None:
    machine = start_machine()
    display = VmDisplay(machine.qmp, PLACEHOLDER)
    machine.process.kill()
    machine.process.wait()
    with pytest.raises(RunnerFailed):
        display.observe_png()
    with pytest.raises(RunnerFailed):
        display.act(parse_actions([{"mouse": {"move": [1, 1]}}])[0])


def test_close_from_another_thread_ends_a_wait(machine: Machine) -> None:
    display = VmDisplay(machine.qmp, PLACEHOLDER)
    failures: list[RunnerFailed] = []
    entered = threading.Event()

    def wait() -> None:
        entered.set()
        try:
            display.settle(settle_s=60, max_s=60)
        except RunnerFailed as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    entered.wait(10)
    display.close()
    display.close()
    thread.join(10)
    assert "closed" in str(failures[0])


def test_a_closed_capture_takes_no_picture(machine: Machine) -> None:
    capture = Capture(machine.qmp, PLACEHOLDER)
    capture.close()
    with pytest.raises(RunnerFailed, match="closed"):
        capture.refresh()
