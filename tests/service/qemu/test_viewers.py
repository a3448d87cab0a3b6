"""Viewers of a QEMU that has nothing to run, over unix sockets as the worker connects to them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.display.viewer import connect_viewer
from gym_queue.runners.qemu.screen.viewer import VmViewers
from tests.service.qemu.conftest import PASSWORD, QEMU, Machine, StartMachine
from tests.viewer import NONE, VNC_AUTH, _answer

pytestmark = pytest.mark.needs(QEMU)
TIMEOUT_S = 20.0


class Viewer:
    """RFB 3.8 with raw pixels."""

    def __init__(self, path: Path, *, password: str = "") -> None:
        self.socket = connect_viewer(path)
        self.socket.settimeout(TIMEOUT_S)
        try:
            self._shake_hands(password)
        except BaseException:
            self.socket.close()
            raise

    def _shake_hands(self, password: str) -> None:
        assert self.take(12) == b"RFB 003.008\n"
        self.socket.sendall(b"RFB 003.008\n")
        (self.security,) = self.take(self.take(1)[0])
        self.socket.sendall(bytes([self.security]))
        if self.security == VNC_AUTH:
            self.socket.sendall(_answer(self.take(16), password))
        if self.take(4) != bytes(4):
            raise PermissionError
        self.socket.sendall(b"\x00")  # alone, if it could be had
        self.size = struct.unpack(">HH", self.take(4))
        self.take(16)
        self.take(struct.unpack(">I", self.take(4))[0])
        self.socket.sendall(struct.pack(">BxHi", 2, 1, 0))  # QEMU takes the pointer as absolute from here on

    def update(self) -> int:
        """Return how many rectangles come for the whole screen."""
        self.socket.sendall(struct.pack(">BBHHHH", 3, 0, 0, 0, *self.size))
        assert self.take(1) == b"\x00"
        count = struct.unpack(">xH", self.take(3))[0]
        for _ in range(count):
            *_, width, height, encoding = struct.unpack(">HHHHi", self.take(12))
            assert encoding == 0
            self.take(width * height * 4)
        return int(count)

    def take(self, size: int) -> bytes:
        taken = b""
        while len(taken) < size:
            piece = self.socket.recv(size - len(taken))
            if not piece:
                raise ConnectionResetError
            taken += piece
        return taken


Watch = Callable[..., Viewer]


@pytest.fixture
def watch() -> Iterator[Watch]:
    """Connect a viewer."""
    watching: list[Viewer] = []

    def connect(path: Path, **options: str) -> Viewer:
        watching.append(Viewer(path, **options))
        return watching[-1]

    yield connect
    for each in watching:
        each.socket.close()


@pytest.fixture
def viewers(machine: Machine, tmp_path: Path) -> Iterator[VmViewers]:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    viewers = VmViewers(machine.vnc, folder)
    yield viewers
    viewers.close()


def test_several_people_watch_at_once(viewers: VmViewers, watch: Watch) -> None:
    paths = {viewers.open(control=control) for control in (False, True, False)}
    assert len(paths) == 2
    watching = [watch(path) for path in (*paths, *paths)]
    assert [each.security for each in watching] == [NONE] * 4
    assert all(each.update() for each in watching for _ in range(2))


def test_who_speaks_no_rfb_is_hung_up_on_and_others_watch_on(viewers: VmViewers, watch: Watch) -> None:
    path = viewers.open(control=False)
    watching = watch(path)
    with connect_viewer(path) as stranger:
        stranger.settimeout(TIMEOUT_S)
        stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while stranger.recv(1 << 10):
            pass
    assert watching.update()


def test_a_password_is_asked_for(start_machine: StartMachine, tmp_path: Path, watch: Watch) -> None:
    viewers = VmViewers(start_machine(has_password=True).vnc, tmp_path)
    path = viewers.open(control=False)
    assert watch(path, password=PASSWORD).update()
    with pytest.raises(PermissionError):
        watch(path, password="wrong")
    viewers.close()


def test_closing_hangs_up_and_leaves_nothing(machine: Machine, tmp_path: Path, watch: Watch) -> None:
    viewers = VmViewers(machine.vnc, tmp_path)
    watching = watch(viewers.open(control=True))
    viewers.close()
    viewers.close()
    with pytest.raises(ConnectionError):
        watching.update()
    assert not list(tmp_path.iterdir())
    with pytest.raises(RunnerFailed, match="closed"):
        viewers.open(control=False)


def test_a_machine_that_is_gone_is_said_so(start_machine: StartMachine, tmp_path: Path, watch: Watch) -> None:
    machine = start_machine()
    viewers = VmViewers(machine.vnc, tmp_path)
    watching = watch(viewers.open(control=False))
    machine.process.kill()
    machine.process.wait()
    with pytest.raises((ConnectionError, socket.timeout)):
        watching.update()
    with pytest.raises(RunnerFailed, match="cannot be shown"):
        viewers.open(control=False)
    viewers.close()
