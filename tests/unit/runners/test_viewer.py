from __future__ import annotations

import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.runners.display.viewer import NOT_FOUND, ScreenServers, connect_viewer


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="gq-"))
    yield path
    shutil.rmtree(path)


@dataclass
class Program:
    status: int | None = None
    output: str = "it said so"


class Programs:
    """Starts what listens where the script says, or has ended already."""

    def __init__(self, folder: Path, ends: int | None = None) -> None:
        self.folder, self.ends = folder, ends
        self.scripts: list[str] = []
        self.started: list[Program] = []
        self._listening: list[socket.socket] = []

    def __call__(self, script: str) -> Program:
        self.scripts.append(script)
        self.started.append(Program(self.ends))
        if self.ends is None:
            listening = socket.socket(socket.AF_UNIX)
            listening.bind(str(self.folder / script.split("-unixsock inside/")[1].split()[0]))
            listening.listen()
            self._listening.append(listening)
        return self.started[-1]

    def close(self) -> None:
        for listening in self._listening:
            listening.close()


@pytest.fixture
def programs(folder: Path) -> Iterator[Programs]:
    made = Programs(folder)
    yield made
    made.close()


def servers(programs: Programs, password: str | None = None) -> ScreenServers:
    return ScreenServers(programs, display=":7", folder=programs.folder, inside="inside", password=password)


def test_one_server_serves_all_who_look_and_another_all_who_act(programs: Programs) -> None:
    screen = servers(programs)
    look, act = screen.open(control=False), screen.open(control=True)
    assert (screen.open(control=False), screen.open(control=True)) == (look, act)
    assert ["-viewonly" in script for script in programs.scripts] == [True, False]
    assert all("-display :7 " in script and "-rfbport 0" in script for script in programs.scripts)


def test_a_server_that_ended_is_started_again_on_another_socket(programs: Programs) -> None:
    screen = servers(programs)
    first = screen.open(control=False)
    programs.started[0].status = 1
    assert screen.open(control=False) != first


def test_a_password_is_handed_over_beside_the_options(programs: Programs) -> None:
    servers(programs, "it's long'er").open(control=False)
    program, _, secret = programs.scripts[0].rpartition("exec x11vnc ")[2].partition(" 3<<<")
    assert secret == "'it'\"'\"'s lon'"
    assert "-nopw" not in program


@pytest.mark.parametrize(
    ("status", "error", "said"),
    [(NOT_FOUND, NotSupported, "install x11vnc"), (3, RunnerFailed, "it said so")],
)
def test_a_server_that_does_not_come_up_says_why(
    folder: Path, status: int, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        servers(Programs(folder, status)).open(control=False)


def test_a_link_in_the_place_of_the_socket_is_not_followed(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as precious:
        precious.bind(str(folder / "precious"))
        precious.listen()
        (folder / "vnc").symlink_to(folder / "precious")
        connect_viewer(folder / "precious").close()
        with pytest.raises(OSError, match="not a socket"):
            connect_viewer(folder / "vnc")


def test_a_file_in_the_place_of_the_socket_is_refused(folder: Path) -> None:
    (folder / "vnc").write_text("")
    with pytest.raises(OSError, match="not a socket"):
        connect_viewer(folder / "vnc")
