"""The screen and input of a real desktop in a virtual machine, beyond what the conformance suite asks."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
from PIL import Image

from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.display.connection import Connection
from gym_queue.runners.qemu.runner import QemuRunner
from gym_queue.runners.qemu.screen.display import VmDisplay
from gym_queue.testing.conformance.subject import act, output_of
from tests.service.qemu.test_viewers import Viewer
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("qemu-system-x86_64", "qemu-img")
QUERY_POINTER = 38
CTRL, ALT, LEFT, ANY = 4, 8, 0x100, 0x1F4D
"""Of the state that the X server tells; any button or modifier but Caps Lock (2) and Num Lock (16)."""
MOUSE_LOG = (
    r'stty raw -echo; printf "\e[?1002h\e[?1006h\e[6n"; read -rsd R; : > mice; cat >> mice; '
    r'printf "\e[?1002l"; stty sane'
)


@pytest.fixture(scope="module")
def x(runner: QemuRunner) -> Iterator[Connection]:
    """Give a connection to the X server inside, to ask it what it has been told."""
    connect = runner._x_connector()
    assert connect is not None
    connection = connect()
    yield connection
    connection.close()


def pointer(x: Connection) -> tuple[int, int, int]:
    """Return where the pointer is, and what is down."""
    reply = x.ask(struct.pack("<BxHI", QUERY_POINTER, 2, x.screen.root))
    left, top, state = struct.unpack_from("<hh4xH", reply, 16)
    return left, top, state & ANY


def is_at(x: Connection, wanted: tuple[int, int, int]) -> bool:
    return pointer(x) == wanted


def is_near(x: Connection, place: int) -> bool:
    """Whether the pointer is at a place on the diagonal, but for the pixel that QEMU's RFB server is off."""
    return all(place - 1 <= at <= place for at in pointer(x)[:2])


def see(runner: QemuRunner) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(runner.observe().png or b"")))


def test_the_pointer_is_put_on_the_very_pixel_and_shown_there(runner: QemuRunner, x: Connection) -> None:
    chooser, (width, height) = random.Random(3), runner.observe().resolution
    points = [(0, 0), (width - 1, height - 1), (width - 1, 0), (0, height - 1)]
    points += [(chooser.randrange(width), chooser.randrange(height)) for _ in range(20)]
    for left, top in points:
        runner.act(parse_actions([{"mouse": {"move": [left, top]}}])[0])
        wait_until(partial(is_at, x, (left, top, 0)))
    act(runner, {"mouse": {"move": [width - 100, 100]}})
    before = see(runner)
    act(runner, {"mouse": {"move": [width - 300, 300]}})
    rows, columns = np.nonzero((see(runner) != before).any(axis=2))
    assert (rows.min() < 110, rows.max() > 295) == (True, True)
    assert (columns.min() < width - 290, columns.max() > width - 110) == (True, True)


def test_no_character_is_lost_or_swapped_in_long_texts(runner: QemuRunner) -> None:
    chooser, letters, typed = random.Random(7), [chr(code) for code in range(0x21, 0x7F)], ""
    act(runner, {"keyboard": {"text": "cat > long\n"}})
    for _ in range(4):
        text = "".join(chooser.choices(letters, k=199)) + "\n"
        runner.act(parse_actions([{"keyboard": {"text": text}}])[0])
        typed += text
    act(runner, {"keyboard": {"keys": ["ctrl", "d"]}})
    wait_until(lambda: output_of(runner, "cat long") == typed, 30)


def test_caps_lock_does_not_change_what_is_typed(runner: QemuRunner) -> None:
    capitals: dict[str, object] = {"keyboard": {"keys": "capslock"}}
    act(runner, capitals, {"keyboard": {"text": "echo aBc > caps\n"}})
    act(runner, {"keyboard": {"text": "echo aBc é >> caps\n"}}, capitals)
    wait_until(lambda: output_of(runner, "cat caps") == "aBc\naBc é\n", 30)


def test_clicks_drags_and_the_wheel_reach_the_program(runner: QemuRunner) -> None:
    act(runner, {"keyboard": {"text": f"bash -c '{MOUSE_LOG}'\n"}})
    wait_until(lambda: output_of(runner, "ls mice 2>/dev/null; true") == "mice\n", 30)
    act(runner, {"mouse": {"double_click": [150, 150]}}, {"mouse": {"scroll": 2}})
    act(runner, {"mouse": {"left_click_drag": [[150, 150], [400, 300]]}})
    wait_until(lambda: output_of(runner, "cat mice").count("m") == 3, 30)
    reports = output_of(runner, "pkill -x -o cat; cat mice").split("\x1b[<")[1:]
    buttons = [report.partition(";")[0] for report in reports]
    assert buttons[:6] == ["0"] * 4 + ["65"] * 2  # see "Mouse Tracking" of xterm's control sequences
    assert (reports[6][0], reports[6][-1], reports[-1][0], reports[-1][-1]) == ("0", "M", "0", "m")
    assert buttons.count("32") >= 5


@pytest.mark.parametrize(
    ("action", "down"),
    [
        ({"keyboard": {"keys": "ctrl+alt+a"}}, CTRL | ALT),
        ({"mouse": {"left_click_drag": [[305, 305], [390, 390]]}}, LEFT),
        ({"mouse": {"left_click": [305, 305], "held": "alt"}}, ALT | LEFT),
    ],
)
def test_keys_and_buttons_are_let_go_after_an_exception(
    runner: QemuRunner, x: Connection, action: dict[str, object], down: int
) -> None:
    was_down: list[int] = []

    def fail(duration_s: float) -> None:
        if not was_down:
            wait_until(lambda: pointer(x)[2] == down)
            was_down.append(down)
            raise InterruptedError

    display = VmDisplay(runner._need_vm().qmp, runner.observe().resolution, pause=fail)
    with pytest.raises(InterruptedError):
        display.act(parse_actions([action])[0])
    wait_until(lambda: pointer(x)[2] == 0)
    display.close()


def test_a_viewer_acts_only_when_it_may(runner: QemuRunner, x: Connection) -> None:
    act(runner, {"mouse": {"move": [200, 200]}})
    for control, place in ((False, 200), (True, 50)):
        viewer = Viewer(runner.open_view(control=control))
        viewer.socket.sendall(struct.pack(">BBHH", 5, 0, 50, 50))
        assert viewer.update()  # QEMU has read what came before
        output_of(runner, "true")  # and the guest has had its turn
        viewer.socket.close()
        wait_until(partial(is_near, x, place))


def test_more_characters_than_the_keyboard_has_keys_are_typed(runner: QemuRunner) -> None:
    text = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 60)) + "\n"
    act(runner, {"keyboard": {"keys": "ctrl+u"}})  # what the chords of other tests left on the line
    act(runner, {"keyboard": {"text": "cat > many\n"}})
    act(runner, {"keyboard": {"text": text}}, {"keyboard": {"keys": ["ctrl", "d"]}})
    wait_until(lambda: output_of(runner, "cat many") == text, 30)
