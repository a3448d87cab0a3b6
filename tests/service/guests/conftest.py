from __future__ import annotations

import getpass
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gym_queue.runners.qemu.guest.agent import GuestAgent
from gym_queue.runners.qemu.guest.agentways import AgentCarrier
from gym_queue.runners.qemu.guest.android import AdbCarrier, AdbServer
from gym_queue.runners.qemu.guest.carrier import Carrier
from gym_queue.runners.qemu.guest.plain import ANDROID, Kind, PlainGuest
from gym_queue.runners.qemu.guest.protocol import GuestSetup
from gym_queue.runners.qemu.guest.ssh import Login, SshConnection
from tests.service.guests.adbd import Adbd
from tests.service.guests.sshd import Sshd, start_sshd

MakeSetup = Callable[..., GuestSetup]


@pytest.fixture(scope="package")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    server = start_sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(scope="package")
def agent_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a qemu-guest-agent whose guest is this machine."""
    folder = tmp_path_factory.mktemp("agent")
    program = shutil.which("qemu-ga")
    assert program is not None
    path = folder / "agent.sock"
    process = subprocess.Popen([program, "-m", "unix-listen", "-p", str(path), "-t", str(folder)])
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.01)
    yield path
    process.kill()
    process.wait()


@pytest.fixture(scope="package")
def device(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adbd]:
    """A device with Android's own programs, which are toybox, in a shell that knows no more than Android's."""
    folder = tmp_path_factory.mktemp("device")
    toybox = shutil.which("toybox")
    assert toybox is not None
    for name in subprocess.run([toybox], capture_output=True, text=True, check=True).stdout.split():
        (folder / name).symlink_to(toybox)
    (folder / "sh").symlink_to("/bin/sh")
    (folder / "getprop").write_text("#!/bin/sh\necho 1\n")
    (folder / "getprop").chmod(0o755)
    made = Adbd(folder)
    yield made
    made.close()


@pytest.fixture
def make_setup(tmp_path: Path) -> MakeSetup:
    def make(user: str = "", *, copy_bytes: int | None = None, **variables: str) -> GuestSetup:
        (tmp_path / "home").mkdir(exist_ok=True)
        return GuestSetup(
            user=user or getpass.getuser(),
            variables={"HOME": str(tmp_path / "home"), **variables},
            scratch=tmp_path,
            copy_bytes=copy_bytes,
            explain_end=lambda: None,
        )

    return make


@pytest.fixture
def carry(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Carrier]]:
    """Makes carriers into this machine: by its own agent, by SSH, and by adb."""
    made: list[Carrier] = []

    def carry(name: str) -> Carrier:
        made.append(_carrier(name, request, tmp_path, monkeypatch))
        return made[-1]

    yield carry
    for each in made:
        each.close()


def _carrier(
    name: str, request: pytest.FixtureRequest, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Carrier:
    if name == "agent":
        return AgentCarrier(GuestAgent(request.getfixturevalue("agent_path"), lambda: None))
    if name == "ssh":
        server: Sshd = request.getfixturevalue("sshd")
        return SshConnection(server.port, Login(server.user, key=server.key), lambda: None)
    monkeypatch.setenv("HOME", str(folder))  # adb makes its key there
    device: Adbd = request.getfixturevalue("device")
    carrier = AdbCarrier(AdbServer(folder), device.port, lambda: None)
    carrier.connect()
    return carrier


CARRIERS = [
    pytest.param("agent", marks=pytest.mark.needs("qemu-ga")),
    pytest.param("ssh", marks=pytest.mark.needs("sshd")),
    pytest.param("adb", marks=pytest.mark.needs("adb", "toybox")),
]


@pytest.fixture(params=CARRIERS)
def guest(
    request: pytest.FixtureRequest, carry: Callable[[str], Carrier], make_setup: MakeSetup, tmp_path: Path
) -> PlainGuest:
    kind = Kind(folder=str(tmp_path))
    if request.param == "adb":
        kind = replace(ANDROID, folder=str(tmp_path), home=str(tmp_path / "home"))
    return PlainGuest(carry(request.param), make_setup(GREETING="hello there"), kind)
