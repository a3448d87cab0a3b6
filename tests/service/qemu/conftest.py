"""QEMU itself without anything to run: it stands still, and shows what its firmware shows once it goes on."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gym_queue.runners.qemu.qmp import Qmp
from tests.waiting import wait_until

QEMU = "qemu-system-x86_64"
SIZE = (800, 600)
PASSWORD = "secret"
StartMachine = Callable[..., "Machine"]


class Machine:
    """One QEMU process, not started to run."""

    def __init__(self, folder: Path, *, has_password: bool) -> None:
        self.folder = folder
        secret = ["-object", f"secret,id=vnc,data={PASSWORD}"] if has_password else []
        asks = ",password-secret=vnc" if has_password else ""
        monitors = (f"unix:{name}.sock,server=on,wait=off" for name in ("qmp", "camera"))
        self.process = subprocess.Popen(
            [
                *(
                    QEMU,
                    "-nodefaults",
                    "-no-user-config",
                    "-S",
                    "-m",
                    "16",
                    "-accel",
                    "tcg",
                    "-display",
                    "none",
                ),
                *("-device", f"VGA,edid=on,xres={SIZE[0]},yres={SIZE[1]}", "-device", "virtio-tablet-pci"),
                *("-device", "virtio-keyboard-pci", *secret, "-vnc", f"unix:vnc.sock{asks}"),
                *(option for monitor in monitors for option in ("-qmp", monitor)),
            ],
            cwd=folder,
        )
        self.qmp = self.monitor("qmp")

    @property
    def vnc(self) -> Path:
        return self.folder / "vnc.sock"

    def monitor(self, name: str) -> Qmp:
        path = self.folder / f"{name}.sock"
        wait_until(lambda: path.exists() or self.process.poll() is not None)
        return Qmp.wait_for(path, deadline_s=20, check_alive=lambda: None)

    def end(self) -> None:
        self.qmp.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture
def start_machine() -> Iterator[StartMachine]:
    """Start a machine of one's own."""
    started: list[Machine] = []

    def start(*, has_password: bool = False) -> Machine:
        folder = Path(tempfile.mkdtemp(prefix="gq-"))
        started.append(Machine(folder, has_password=has_password))
        return started[-1]

    yield start
    for machine in started:
        machine.end()
        shutil.rmtree(machine.folder)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """Give a machine that all tests of a module look at."""
    folder = Path(tempfile.mkdtemp(prefix="gq-"))
    machine = Machine(folder, has_password=False)
    yield machine
    machine.end()
    shutil.rmtree(folder)
