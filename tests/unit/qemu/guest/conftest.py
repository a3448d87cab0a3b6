"""The helper as a process of this host: its port is a unix socket, as QEMU's end of a real one is."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gym_queue.runners.qemu.guest.install import helper_digest, helper_file
from gym_queue.runners.qemu.guest.linux import LinuxGuest
from gym_queue.runners.qemu.guest.protocol import GuestSetup

Connect = Callable[..., LinuxGuest]
ME = pwd.getpwuid(os.geteuid()).pw_name


@contextmanager
def running_helper(folder: Path) -> Iterator[Path]:
    """Run a helper; gives the socket of its port."""
    file, port = folder / "helper.pyz", folder / "guest.sock"
    file.write_bytes(helper_file())
    own = Path(tempfile.mkdtemp())
    own.chmod(0o711)  # other users' commands have files there
    argv = [sys.executable, "-I", str(file), f"unix:{port}", str(own), helper_digest().hex()]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    yield port
    process.kill()
    process.wait()
    process.stdout.close()
    shutil.rmtree(own)


@contextmanager
def connected(port: Path, folder: Path) -> Iterator[Connect]:
    """Give a function that connects anew, commands at home in a folder; all are closed afterwards."""
    opened: list[LinuxGuest] = []
    for each in (folder / "scratch", folder / "home"):
        each.mkdir()

    def open_guest(
        user: str = ME, copy_bytes: int | None = None, variables: dict[str, str] | None = None
    ) -> LinuxGuest:
        variables = {"HOME": str(folder / "home"), **(variables or {})}
        setup = GuestSetup(user, variables, folder / "scratch", copy_bytes, lambda: None)
        opened.append(LinuxGuest(port, setup, deadline_s=20))
        return opened[-1]

    yield open_guest
    for guest in opened:
        guest.close()


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start a helper for a module's tests; each connects to it anew."""
    with running_helper(tmp_path_factory.mktemp("helper")) as port:
        yield port


@pytest.fixture
def connect(helper: Path, tmp_path: Path) -> Iterator[Connect]:
    """Give a function that connects; its guests' home is ``tmp_path / "home"``."""
    with connected(helper, tmp_path) as connect:
        yield connect


@pytest.fixture
def guest(connect: Connect) -> LinuxGuest:
    """Give a guest whose helper runs here."""
    return connect()
