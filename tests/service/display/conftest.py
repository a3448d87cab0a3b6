"""A real X server for each test, with real programs on it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.display.x11 import X11Display
from gym_queue.runners.display.xvfb import Xvfb
from tests.waiting import wait_until

RESOLUTION = (800, 600)
VARIABLES = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent"}
XtermStart = Callable[..., Path]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Xvfb]:
    server = Xvfb(tmp_path, RESOLUTION, VARIABLES)
    yield server
    server.close()


@pytest.fixture
def display(server: Xvfb) -> Iterator[X11Display]:
    display = server.start()
    yield display
    display.close()


@pytest.fixture
def run(server: Xvfb, display: X11Display) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a program on the display."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*argv: str) -> subprocess.Popen[bytes]:
        variables = VARIABLES | server.variables()
        started.append(subprocess.Popen(argv, env=variables, stderr=subprocess.DEVNULL))
        return started[-1]

    yield start
    for process in reversed(started):
        process.kill()
        process.wait()


@pytest.fixture
def xterm(run: Callable[..., subprocess.Popen[bytes]], display: X11Display, tmp_path: Path) -> XtermStart:
    """Start an xterm over the whole screen with a command in it that makes the file it is given as $0."""

    def start(command: str) -> Path:
        made = tmp_path / "made"
        run("xterm", "-wf", "-u8", "-geometry", "200x60+0+0", "-e", "bash", "-c", command, str(made))
        wait_until(made.exists)
        act(
            display, {"mouse": {"move": [300, 300]}}
        )  # without a window manager the focus is under the pointer
        return made

    return start


def act(display: X11Display, *actions: dict[str, object]) -> None:
    for action in parse_actions(actions):
        display.act(action)
