"""X11Display on a real Xvfb with a real xterm."""

from __future__ import annotations

import io
import os
import random
import signal
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gym_queue.errors import ActionInvalid, RunnerFailed
from gym_queue.runners.display.connection import connect
from gym_queue.runners.display.x11 import X11Display
from gym_queue.runners.display.xvfb import SOCKETS, Xvfb
from tests.service.display.conftest import RESOLUTION, XtermStart, act
from tests.waiting import wait_until

pytestmark = pytest.mark.needs("Xvfb", "xterm")

ANSWERED = r'stty raw -echo; printf "\e[?1002h\e[?1006h\e[6n"; read -rsd R;'
"""The terminal has read what was written to it."""
CAT = r'printf "\e[6n"; read -rsd R; stty -echoctl -icanon; : > "$0"; exec cat > "$0"'
MOUSE_LOG = f'{ANSWERED} : > "$0"; exec cat > "$0"'
BUTTONS_MASK, MODIFIERS_MASK = 0x1F00, 0xFF


def see(display: X11Display) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(display.observe_png())))


def read(made: Path) -> str:
    return made.read_bytes().decode(errors="replace")


def held(display: X11Display) -> int:
    """Return the state of buttons and modifiers."""
    connection = display._connection
    reply = connection.ask(struct.pack("<BxHI", 38, 2, connection.screen.root))
    return int(struct.unpack_from("<H", reply, 24)[0]) & (BUTTONS_MASK | MODIFIERS_MASK)


@pytest.fixture
def other(server: Xvfb) -> Iterator[Callable[..., X11Display]]:
    """Open a second display of the same server."""
    opened: list[X11Display] = []

    def start(**options: Callable[[float], None]) -> X11Display:
        path = SOCKETS / f"X{server.variables()['DISPLAY'][1:]}"
        connection = connect(path, cookie=server._cookie, deadline_s=5, process_alive=None)
        opened.append(X11Display(connection, RESOLUTION, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_a_picture_has_the_resolution_and_comes_by_shared_memory(display: X11Display) -> None:
    assert see(display).shape == (RESOLUTION[1], RESOLUTION[0], 3)
    assert display.shares_memory


def test_images_over_the_socket_are_the_same(display: X11Display, xterm: XtermStart) -> None:
    xterm(CAT)
    display.settle(settle_s=0.2, max_s=5)
    capture = display._capture
    shared = capture.screen().copy()
    root, (width, height) = display._connection.screen.root, RESOLUTION
    capture._memory = None
    capture._request = struct.pack("<BBHIhhHHI", 73, 2, 5, root, 0, 0, width, height, 0xFFFFFFFF)
    assert np.array_equal(capture.screen()[..., :3], shared[..., :3])


def test_what_is_typed_is_in_the_next_picture(display: X11Display, xterm: XtermStart) -> None:
    xterm(CAT)
    display.settle(settle_s=0.2, max_s=5)
    before = display.observe_png()
    act(display, {"keyboard": {"text": "x"}})
    wait_until(lambda: display.observe_png() != before)


def test_the_pointer_is_drawn_where_it_is(display: X11Display) -> None:
    act(display, {"mouse": {"move": [100, 100]}})
    first = see(display)
    act(display, {"mouse": {"move": [500, 400]}})
    rows, columns = np.nonzero((see(display) != first).any(axis=2))
    assert (rows.min() < 110, columns.min() < 110) == (True, True)
    assert (rows.max() > 390, columns.max() > 490) == (True, True)
    assert not (see(display) != first)[200:300, 200:400].any()


@pytest.mark.parametrize(
    "text",
    [
        "plain ASCII: ~!@#$%^&*()_+{}|:<>?[];'\\,./`\n",
        "héllo Straße ÉÀ ñ € “quoted”\n",
        "Съешь же ещё этих мягких французских булок, да выпей чаю. ЖЩЮЯ\n",
        "你好、世界 こんにちは 😀🚀 \tend\n",
    ],
)
def test_text_of_any_language_is_typed_as_it_is(display: X11Display, xterm: XtermStart, text: str) -> None:
    made = xterm(CAT)
    act(display, {"keyboard": {"text": text}})
    wait_until(lambda: read(made) == text)


def test_no_character_is_lost_or_swapped_in_many_long_texts(display: X11Display, xterm: XtermStart) -> None:
    made = xterm(CAT)
    letters = [chr(code) for code in (*range(0x21, 0x7F), *range(0xA1, 0xAD), 0x416, 0x436)]
    chooser, typed = random.Random(7), ""
    for _ in range(50):
        text = "".join(chooser.choices(letters, k=199)) + "\n"
        act(display, {"keyboard": {"text": text}})
        typed += text
    wait_until(lambda: len(read(made)) >= len(typed), 30)
    assert read(made) == typed


def test_more_different_characters_than_the_keyboard_has_keys_are_typed(
    display: X11Display, xterm: XtermStart
) -> None:
    made = xterm(CAT)
    text = "".join(chr(code) for code in range(0x4E00, 0x4E00 + 150)) + "\n"
    act(display, {"keyboard": {"text": text}})
    wait_until(lambda: len(read(made)) >= len(text))
    assert read(made) == text


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        (["ctrl", "a"], "\x01"),
        (["ctrl", "A"], "\x01"),
        ("ctrl+shift+left", "\x1b[1;6D"),
        (["alt", "f4"], "\x1b[1;3S"),
        ("A", "A"),
        ("Return", "\r"),
        ("é", "é"),
    ],
)
def test_chords(display: X11Display, xterm: XtermStart, keys: object, sent: str) -> None:
    made = xterm(MOUSE_LOG)
    act(display, {"keyboard": {"keys": keys}})
    wait_until(lambda: read(made) == sent)
    assert held(display) == 0


def test_clicks_drags_and_the_wheel_reach_the_program(display: X11Display, xterm: XtermStart) -> None:
    made = xterm(MOUSE_LOG)
    act(display, {"mouse": {"right_click": [200, 200]}})
    wait_until(lambda: [part[:2] for part in read(made).split("\x1b[<")[1:]] == ["2;", "2;"])
    act(display, {"mouse": {"left_click_drag": [[50, 50], [400, 300]]}}, {"mouse": {"scroll": 2}})
    wait_until(lambda: read(made).count("<65;") == 2)
    events = read(made).split("\x1b[<")[3:-2]
    assert (events[0][:2], events[0][-1], events[-1][:2], events[-1][-1]) == ("0;", "M", "0;", "m")
    assert len([event for event in events if event.startswith("32;")]) >= 5
    assert held(display) == 0


def test_keys_are_held_during_a_mouse_action_and_let_go_after_it(
    display: X11Display, xterm: XtermStart
) -> None:
    made = xterm(MOUSE_LOG)
    alt = 8  # of a report, see "Mouse Tracking" of xterm's control sequences
    act(display, {"mouse": {"double_click": [10, 10], "held": "alt"}}, {"mouse": {"left_click": [10, 10]}})
    wait_until(lambda: read(made).count("m") >= 3)
    assert [report.partition(";")[0] for report in read(made).split("\x1b[<")[1:]] == [f"{alt}"] * 4 + [
        "0"
    ] * 2
    assert held(display) == 0


def test_buttons_stay_down_until_they_are_let_go(display: X11Display) -> None:
    act(display, {"mouse": {"buttons": {"left_down": True}}})
    assert held(display) == 0x100
    act(display, {"mouse": {"buttons": {"left_up": True}}})
    assert held(display) == 0


@pytest.mark.parametrize(
    "action", [{"keyboard": {"keys": "ctrl+alt+a"}}, {"mouse": {"left_click_drag": [[5, 5], [90, 90]]}}]
)
def test_keys_and_buttons_are_let_go_after_an_exception(
    display: X11Display, other: Callable[..., X11Display], action: dict[str, object]
) -> None:
    seen: list[int] = []

    def fail(duration_s: float) -> None:
        seen.append(held(second))
        raise InterruptedError

    second = other(pause=fail)
    with pytest.raises(InterruptedError):
        act(second, action)
    assert seen[0] != 0
    assert held(display) == 0


def test_an_action_off_the_screen_is_refused_and_nothing_is_injected(display: X11Display) -> None:
    act(display, {"mouse": {"move": [10, 10]}})
    before = display.observe_png()
    with pytest.raises(ActionInvalid, match="off the screen"):
        act(display, {"mouse": {"left_click": [800, 10]}, "keyboard": {"text": "x"}})
    assert display.observe_png() is before


def test_caps_lock_does_not_change_what_is_typed(display: X11Display, xterm: XtermStart) -> None:
    made = xterm(CAT)
    act(display, {"keyboard": {"keys": "capslock"}}, {"keyboard": {"text": "aBc é"}})
    wait_until(lambda: read(made) == "aBc é")


def test_settling_waits_for_what_an_action_sets_off(display: X11Display, xterm: XtermStart) -> None:
    xterm(': > "$0"; read -rsn1; for i in 1 2 3 4; do sleep 0.15; seq 200; done; sleep 1000')
    display.settle(settle_s=0.3, max_s=10)
    act(display, {"keyboard": {"text": "g"}})
    display.settle(settle_s=0.5, max_s=20)
    settled = display.observe_png()
    display.settle(settle_s=0.3, max_s=10)
    assert display.observe_png() is settled


def test_a_server_that_was_killed_is_a_lost_runner(server: Xvfb, display: X11Display) -> None:
    os.kill(server.pid or 0, signal.SIGKILL)
    with pytest.raises(RunnerFailed, match="died"):
        display.observe_png()
    with pytest.raises(RunnerFailed):
        act(display, {"mouse": {"move": [1, 1]}})


def test_close_from_another_thread_ends_a_wait(display: X11Display) -> None:
    failures: list[Exception] = []
    entered = threading.Event()

    def wait() -> None:
        try:
            entered.set()
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


def test_a_path_longer_than_a_socket_address_is_reached(
    server: Xvfb, display: X11Display, tmp_path: Path
) -> None:
    number = server.variables()["DISPLAY"][1:]
    folder = tmp_path / ("long" * 40)
    folder.symlink_to(SOCKETS)
    again = X11Display.open(
        folder / f"X{number}", resolution=RESOLUTION, deadline_s=5, authority=server._cookie
    )
    assert np.array_equal(see(again), see(display))
    again.close()


def test_without_its_cookie_the_server_lets_nobody_in(server: Xvfb, display: X11Display) -> None:
    path = SOCKETS / f"X{server.variables()['DISPLAY'][1:]}"
    with pytest.raises(RunnerFailed, match="cookie"):
        X11Display.open(path, resolution=RESOLUTION, deadline_s=5, authority=b"0" * 16)


def test_a_screen_that_is_too_small_is_said_so(server: Xvfb, display: X11Display) -> None:
    path = SOCKETS / f"X{server.variables()['DISPLAY'][1:]}"
    with pytest.raises(RunnerFailed, match="800 x 600"):
        X11Display.open(path, resolution=(1280, 720), deadline_s=5, authority=server._cookie)


def test_no_server_is_an_error_in_time_and_a_dead_process_at_once(tmp_path: Path) -> None:
    with pytest.raises(RunnerFailed, match="no X server answers"):
        X11Display.open(tmp_path / "X9", resolution=RESOLUTION, deadline_s=0.1)

    def died() -> None:
        raise RunnerFailed("the container ended")

    with pytest.raises(RunnerFailed, match="the container ended"):
        X11Display.open(tmp_path / "X9", resolution=RESOLUTION, deadline_s=60, process_alive=died)


def test_a_closed_server_leaves_nothing(
    server: Xvfb, display: X11Display, run: Callable[..., subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    number = server.variables()["DISPLAY"][1:]
    server.close()
    server.close()
    assert not (SOCKETS / f"X{number}").exists()
    assert not Path(f"/tmp/.X{number}-lock").exists()
    assert not list(tmp_path.glob("x*"))


def test_a_server_that_is_closed_while_somebody_looks_says_so(server: Xvfb) -> None:
    server.start().close()
    server.close()
    with pytest.raises(RunnerFailed, match="it was ended"):
        server.open_camera()
