"""Images that do not boot, disks that are full, helpers that die: a typed sentence each, and nothing left."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gym_queue.errors import GymQueueError, NotSupported, RunnerFailed, SpecInvalid
from gym_queue.runners.base import RunnerSetup
from gym_queue.runners.processes import find_processes
from gym_queue.runners.qemu import starting
from gym_queue.runners.qemu.images.importing import Source, import_image
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.runners.qemu.machine import GUEST_SSH_PORT
from gym_queue.runners.qemu.runner import QemuRunner
from gym_queue.testing.conformance.subject import output_of
from tests.vm.conftest import OPTIONS, MakeRunner, make_spec, own

pytestmark = pytest.mark.needs("qemu-system-x86_64", "qemu-img")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a folder on a disk of 48 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a disk")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_host_without_room_stops_the_machine_with_a_sentence_and_no_other(
    vm_image: Image, small_disk: Path, make: MakeRunner
) -> None:
    other = make()
    other.start()
    runner = QemuRunner(
        RunnerSetup(own("full"), make_spec({"entrypoint": None}), None, small_disk, vm=OPTIONS)
    )
    runner.start()
    with pytest.raises(RunnerFailed, match=r"cannot be written.*make room"):
        runner.exec("dd if=/dev/urandom of=big bs=1M count=200; sync; sleep 600", timeout_s=600)
    assert output_of(other, "echo goes on") == "goes on\n"
    runner.close()
    other.close()
    assert list(small_disk.iterdir()) == []


def test_a_disk_without_a_system_says_that_it_does_not_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, folder = tmp_path / "empty.qcow2", tmp_path / "images"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64M"], check=True)
    import_image(Source(disk, firmware="bios"), "empty", ImageStore(folder), replace=False, say=print)
    monkeypatch.setattr(starting, "EMULATED_BOOT_TIMEOUT_S", 3.0)
    work = tmp_path / "work"
    work.mkdir()
    spec = make_spec({"image": "empty"})
    runner = QemuRunner(RunnerSetup(own("empty"), spec, None, work, vm=replace(OPTIONS, image_dir=folder)))
    with pytest.raises(RunnerFailed, match="empty"):
        runner.start()
    assert find_processes(own("empty")) == []
    assert [each for each in (folder / "booted").iterdir() if each.is_dir()] == []


def test_an_image_that_is_not_here_is_said_with_the_remedy(make: MakeRunner) -> None:
    with pytest.raises(GymQueueError, match=r"no-such-image.*gym-anything image"):
        make(image="no-such-image").start()


@pytest.mark.parametrize(
    ("fields", "error", "said"),
    [
        ({"resources": {"gpu": 1}}, NotSupported, "passes none through"),
        (
            {"resources": {"net": True}, "security": {"network_allowlist": ["*.test"]}},
            NotSupported,
            "is a pattern",
        ),
        (
            {"resources": {"net": True}, "security": {"network_allowlist": ["a b"]}},
            SpecInvalid,
            "is no host",
        ),
    ],
)
def test_what_no_machine_has_is_refused_before_one_starts(
    make: MakeRunner, fields: dict[str, object], error: type[GymQueueError], said: str
) -> None:
    with pytest.raises(error, match=said):
        make(**fields).start()


def test_a_helper_that_is_killed_is_said_at_once_and_is_there_again_for_the_next_command(
    make: MakeRunner,
) -> None:
    runner = make()
    runner.start()
    with pytest.raises(RunnerFailed, match="helper in it was killed"):
        runner.exec("sudo pkill -KILL -f virtio-ports; sleep 600", timeout_s=500)
    assert output_of(runner, "echo again") == "again\n"
    runner.close()


def test_a_port_that_was_taken_meanwhile_is_another_the_next_time(
    make: MakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = starting._free_port
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(starting, "_free_port", lambda: next(ports, None) or free())
        runner = make(resources={"cpu": 2, "mem_gb": 1, "net": True}, ssh={"user": "ga", "password": "x"})
        runner.start()
        vm = runner._running.vm if runner._running else None
        assert vm is not None
        ((here, inside),) = vm.launch.forwards
        assert here != taken.getsockname()[1]
    assert inside == GUEST_SSH_PORT
    runner.close()
