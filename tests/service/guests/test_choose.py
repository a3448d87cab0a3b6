"""Which way into a guest is taken, by asking real servers; sentences where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gym_queue.errors import NotSupported, RunnerFailed, RunnerUnavailable
from gym_queue.runners.qemu.guest import choose, ways
from gym_queue.runners.qemu.guest.choose import GuestPlaces, open_guest
from gym_queue.runners.qemu.guest.plain import PlainGuest
from gym_queue.runners.qemu.guest.protocol import Guest
from gym_queue.runners.qemu.guest.windows import WindowsGuest
from gym_queue.runners.qemu.images.model import Image
from gym_queue.specs.env import EnvSpec
from tests.service.guests.adbd import Adbd
from tests.service.guests.conftest import MakeSetup
from tests.service.guests.sshd import Sshd
from tests.service.guests.windowsagent import WindowsAgent
from tests.waiting import wait_until

Choose = Callable[..., Guest]


@pytest.fixture
def choose_guest(tmp_path: Path, make_setup: MakeSetup, monkeypatch: pytest.MonkeyPatch) -> Iterator[Choose]:
    monkeypatch.setattr(choose, "GRACE_S", 0.2)
    monkeypatch.setattr(ways, "ASK_S", 0.2)
    monkeypatch.setattr(ways, "PORT_WAIT_S", 0)
    monkeypatch.setenv("HOME", str(tmp_path))
    opened: list[Guest] = []

    def choose_guest(
        os_type: str = "linux",
        *,
        deadline_s: float = 20.0,
        alive: Callable[[], None] = lambda: None,
        **given: Any,
    ) -> Guest:
        image = Image("base", "", tmp_path, None, None, "", os_type, "x86_64", "bios", "", "ga", 0, 0)
        spec = EnvSpec.model_validate(
            {
                "id": "e",
                "observation": [{"type": "rgb_screen"}],
                "action": [{"type": "mouse"}],
                "ssh": given.get("ssh", {}),
            }
        )
        places = GuestPlaces(
            agent=given.get("agent", tmp_path / "none.sock"),
            helper=tmp_path / "none.sock",
            ssh_port=given.get("ssh_port"),
            adb_port=given.get("adb_port"),
        )
        guest = open_guest(
            image, spec, places, make_setup(), deadline_s=deadline_s, check_alive=alive, is_restored=False
        )
        opened.append(guest)
        return guest

    yield choose_guest
    for each in opened:
        each.close()


@pytest.mark.needs("qemu-ga", "sshd")
def test_linux_without_a_port_for_the_helper_is_driven_by_its_agent_rather_than_by_ssh(
    choose_guest: Choose, agent_path: Path, sshd: Sshd
):
    ssh = {"user": sshd.user, "key": str(sshd.key)}
    guest = choose_guest(agent=agent_path, ssh=ssh, ssh_port=sshd.port)
    assert isinstance(guest, PlainGuest)
    assert "SSH_CONNECTION" not in guest.exec("env", timeout_s=30).output


@pytest.mark.needs("sshd")
def test_ssh_is_taken_where_no_agent_answers(choose_guest: Choose, sshd: Sshd):
    guest = choose_guest(ssh={"user": sshd.user, "key": str(sshd.key)}, ssh_port=sshd.port)
    assert "SSH_CONNECTION" in guest.exec("env", timeout_s=30).output


@pytest.mark.needs("sshd")
def test_a_wrong_password_is_said_at_once(choose_guest: Choose, sshd: Sshd):
    with pytest.raises(RunnerFailed, match="does not let 'ga' in with the password of the spec's ssh"):
        choose_guest(ssh={"password": "wrong"}, ssh_port=sshd.port)


@pytest.mark.needs("adb", "toybox")
def test_android_is_driven_by_adb(choose_guest: Choose, device: Adbd):
    assert isinstance(choose_guest("android", adb_port=device.port), PlainGuest)


@pytest.mark.needs("adb")
def test_an_android_that_does_not_know_our_key_is_said(choose_guest: Choose, tmp_path: Path):
    device = Adbd(tmp_path, state="unauthorized")
    with pytest.raises(RunnerFailed, match="does not know this host's adb key"):
        choose_guest("android", adb_port=device.port)
    device.close()


def test_android_needs_adb_on_this_host(choose_guest: Choose, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RunnerUnavailable, match="apt install adb"):
        choose_guest("android", adb_port=1)


def test_windows_is_driven_by_its_agent(choose_guest: Choose, tmp_path: Path):
    peer = WindowsAgent(tmp_path / "agent.sock", lambda script, files: (0, b"hi\r\n"))
    guest = choose_guest("windows", agent=tmp_path / "agent.sock")
    assert isinstance(guest, WindowsGuest)
    assert guest.exec("'hi'", timeout_s=10).output == "hi\n"
    guest.close()
    peer.close()


@pytest.mark.parametrize(
    ("os_type", "given", "says"),
    [
        (
            "linux",
            {},
            "the image base has no qemu-guest-agent that answers after 0.1 s: install qemu-guest-agent in it, or name user and password",
        ),
        ("windows", {}, "install the virtio-win guest tools in it"),
        (
            "linux",
            {"ssh": {"password": "p"}, "ssh_port": 1},
            "answers neither by a qemu-guest-agent nor by SSH",
        ),
        ("android", {}, "this machine has none: set resources.net in the spec"),
    ],
)
def test_what_an_image_lacks_is_said(choose_guest: Choose, os_type: str, given: dict[str, Any], says: str):
    with pytest.raises(RunnerFailed, match=says):
        choose_guest(os_type, deadline_s=0.1, **given)


def test_a_machine_that_ends_meanwhile_is_not_waited_for(choose_guest: Choose):
    def gone() -> None:
        raise RunnerFailed("the guest shut itself down")

    with pytest.raises(RunnerFailed, match="shut itself down"):
        choose_guest(alive=gone, deadline_s=60)


def test_a_system_nobody_knows_is_refused(choose_guest: Choose):
    with pytest.raises(NotSupported, match="knows linux, windows and android"):
        choose_guest("macos")


STARTS_AND_IS_KILLED = """\
import os, sys
from pathlib import Path
from gym_queue.runners.qemu.guest.android import AdbServer
AdbServer(Path(sys.argv[1]), "env-1")
os.kill(os.getpid(), 9)
"""


@pytest.mark.needs("adb")
def test_the_adb_server_ends_with_the_process_that_started_it(tmp_path: Path):
    command = [sys.executable, "-c", STARTS_AND_IS_KILLED, str(tmp_path)]
    assert subprocess.run(command, check=False, env={**os.environ, "HOME": str(tmp_path)}).returncode == -9
    assert list(tmp_path.glob("adb-*/adb.sock"))
    wait_until(lambda: not any(_works_below(each, tmp_path) for each in psutil.process_iter()))


def _works_below(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.name() == "adb" and Path(process.cwd()).is_relative_to(folder)
    except psutil.Error:
        return False
