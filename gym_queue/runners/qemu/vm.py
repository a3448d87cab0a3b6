"""One QEMU process: started in a folder of its own, asked over its monitor, explained when it is gone."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gym_queue.errors import RunnerFailed, RunnerUnavailable
from gym_queue.runners.display.viewer import PASSWORD_CHARS
from gym_queue.runners.owner import Place, labels_of
from gym_queue.runners.processes import ENV_MARK
from gym_queue.runners.qemu.machine import (
    CAMERA_MONITOR,
    DISK,
    HELPER_ID,
    MONITOR,
    VNC_PASSWORD,
    Launch,
    command_line,
)
from gym_queue.runners.qemu.qmp import Qmp
from gym_queue.runners.tail import Tail

logger = logging.getLogger(__name__)

MONITOR_TIMEOUT_S = 60.0
"""A machine whose memory comes from a cold disk takes its time to answer first."""
STOP_TIMEOUT_S, LAST_WORDS_S = 5.0, 1.0
CONSOLE_BYTES = 64 << 10
SHOWN_CHARS = 600
PANIC, FORWARDING = "Kernel panic - not syncing", "host forwarding rule"
PORT_EVENT, RESET_EVENT = f"VSERPORT_CHANGE:{HELPER_ID}", "RESET"
IO_ERROR_EVENT, PANIC_EVENT = "BLOCK_IO_ERROR", "GUEST_PANICKED"
OWNER_MARK = "GYM_QUEUE_OWNER"
"""Variable of a QEMU process: whose it is (runners/owner.py), as JSON."""
_HEALTHY = frozenset(
    {"running", "prelaunch", "inmigrate", "paused", "postmigrate", "finish-migrate", "save-vm", "restore-vm"}
)


class PortTaken(RunnerFailed):
    """A port of this host that was to lead into a machine was taken meanwhile."""


class Vm:
    """A machine of this host. Called by one thread, ``close`` and ``explain_end`` by any.

    Args:
        env_id: Whom it belongs to.
        folder: Its own: made here, removed by ``close``.
        launch: What to start.
        vnc_password: What viewers are asked for, when the launch says so.
    """

    def __init__(self, env_id: str, folder: Path, launch: Launch, *, vnc_password: str | None = None) -> None:
        self.env_id, self.folder, self.launch = env_id, folder, launch
        self.backing = Path()
        """The disk below its own."""
        self._backed_by: tuple[int, int] | None = None
        self._vnc_password = vnc_password
        self._console = Tail(CONSOLE_BYTES)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._qmp: Qmp | None = None
        self._is_closed = False

    @property
    def qmp(self) -> Qmp:
        """Its monitor."""
        self.check_open()
        if self._qmp is None:
            raise RunnerFailed("the virtual machine was not started: call start first")
        return self._qmp

    def start(self, backing: Path) -> None:
        """Start QEMU on a fresh disk over another, and return when its monitor answers.

        Args:
            backing: The disk below, which is only read.

        Raises:
            RunnerUnavailable: QEMU is not installed.
            RunnerFailed: It does not start; the sentence says what QEMU said.
        """
        self.check_open()
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            self._write_password()
            self._backed_by = _identity(backing)
        except OSError as error:
            raise RunnerFailed(f"no machine can be started in {self.folder}: {error}") from error
        self.backing = backing
        make_overlay(self.folder / DISK, backing)
        self._spawn()
        self._qmp = Qmp.wait_for(
            self.folder / MONITOR,
            deadline_s=MONITOR_TIMEOUT_S,
            check_alive=self.check_alive,
            explain_end=self.explain_loss,
        )

    def camera(self) -> Qmp:
        """Return a second monitor, for another thread; owned by the caller."""
        self.check_alive()
        try:
            return Qmp(self.folder / CAMERA_MONITOR, explain_end=self.explain_loss)
        except OSError as error:
            self.check_alive()
            raise RunnerFailed(f"the virtual machine's second monitor does not answer: {error}") from error

    def check_running(self) -> None:
        """See that the machine runs and is not standing still.

        Raises:
            RunnerFailed: It is gone, closed, crashed inside, or was stopped: the host's disk is full.
        """
        self.check_alive()
        status = str(self.qmp.ask("query-status")["status"])
        stopped = self._explain_status(status)
        if stopped is not None:
            raise stopped
        if PANIC in self.said():
            raise self._crashed(status)

    def check_alive(self) -> None:
        """As ``check_running``, by QEMU's process alone."""
        self.check_open()
        ended = self.explain_end()
        if ended is not None:
            raise ended

    def check_backing(self) -> None:
        """See that the disk below its own is the one that it was started over.

        Raises:
            RunnerFailed: It was removed, or another lies in its place.
        """
        try:
            is_same = _identity(self.backing) == self._backed_by
        except OSError:
            is_same = False
        if not is_same:
            raise RunnerFailed("what this machine was started from was removed meanwhile: it cannot be kept")

    def check_open(self) -> None:
        """Raise RunnerFailed once it was closed."""
        if self._is_closed:
            raise RunnerFailed("the environment was closed: create a new one")

    def explain_end(self) -> RunnerFailed | None:
        """Return why QEMU has ended; None while it runs."""
        if self._is_closed:
            return RunnerFailed("the environment was closed: create a new one")
        process = self._process
        status = process.poll() if process is not None else None
        if status is None:
            return None
        if self._reader is not None:
            self._reader.join(LAST_WORDS_S)
        if status == 0:
            return RunnerFailed("the virtual machine was shut down from inside: reset the environment")
        if status == -signal.SIGKILL:
            return RunnerFailed(
                "QEMU was killed: by somebody, or by the kernel for want of memory; lower resources.mem_gb or run fewer"
            )
        if status == -signal.SIGBUS:
            return RunnerFailed(
                f"QEMU ended for want of room for the machine's memory, {self._room()}: make room and reset"
            )
        if FORWARDING in self.said():
            return PortTaken(f"a port of this host is taken: {self.said()}")
        return RunnerFailed(f"QEMU ended with status {status}: {self.said()}")

    def explain_loss(self) -> RunnerFailed | None:
        """Return why QEMU has hung up: as ``explain_end``, which it waits for since sockets go before processes."""
        process = self._process
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LAST_WORDS_S)
        return self.explain_end()

    def explain_silence(self) -> RunnerFailed | None:
        """Return why nothing comes from inside any more; None when something still may."""
        if self._is_closed or self._qmp is None:
            return self.explain_end()
        if self.has_left():
            return RunnerFailed(
                "the machine was started again from inside, or the helper in it was killed: what ran is lost"
            )
        return self.explain_end() or self._explain_stop(self._qmp)

    def has_left(self) -> bool:
        """Whether our helper inside has ended, or the whole system, since ``await_again``."""
        port = self.qmp.event(PORT_EVENT)
        return self.qmp.event(RESET_EVENT) is not None or (port is not None and not port["open"])

    def await_again(self) -> None:
        """Forget that the helper, or the system, has ended: it is going to be started again."""
        self.qmp.forget(PORT_EVENT)
        self.qmp.forget(RESET_EVENT)

    def close(self) -> None:
        """End QEMU and remove the folder. Safe to call twice, and from another thread."""
        with self._lock:
            self._is_closed = True
            process = self._process
        if self._qmp is not None:
            self._qmp.close()
        if process is not None:
            process.kill()  # nothing in it is kept
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                logger.warning(
                    "QEMU (pid %d) of %s does not end: the kernel holds it", process.pid, self.env_id
                )
        if self._reader is not None:
            self._reader.join(STOP_TIMEOUT_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_password(self) -> None:
        if self.launch.has_vnc_password:
            path = self.folder / VNC_PASSWORD
            path.touch(mode=0o600)
            path.write_text((self._vnc_password or "")[:PASSWORD_CHARS])

    def _spawn(self) -> None:
        with self._lock:
            self.check_open()
            try:
                self._process = subprocess.Popen(
                    command_line(self.launch),
                    cwd=self.folder,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise RunnerUnavailable(
                    f"{self.launch.machine.binary} cannot be started ({error.strerror}): apt-get install qemu-system"
                ) from error
        self._reader = threading.Thread(target=self._read_console, name="vm-console", daemon=True)
        self._reader.start()

    def _environment(self) -> Mapping[str, str]:
        owner = json.dumps(labels_of(self.env_id, Place.here(), os.getpid()))
        return {"PATH": os.environ.get("PATH", os.defpath), ENV_MARK: self.env_id, OWNER_MARK: owner}

    def _read_console(self) -> None:
        assert self._process is not None  # noqa: S101  it was just started
        assert self._process.stdout is not None  # noqa: S101  it is a pipe
        with self._process.stdout as console:
            while chunk := os.read(console.fileno(), 1 << 16):
                with self._lock:
                    self._console.add(chunk)

    def said(self) -> str:
        """Return the last of what it wrote to its console, with what QEMU itself said."""
        with self._lock:
            said = " ".join(self._console.text().split())
        return said[-SHOWN_CHARS:] or "it said nothing"

    def _explain_stop(self, qmp: Qmp) -> RunnerFailed | None:
        """Return why the machine was stopped. Events only say that it may be: most are told to the guest, which goes on."""
        if not any(qmp.event(name) is not None for name in (IO_ERROR_EVENT, PANIC_EVENT)):
            return None
        try:
            status = str(qmp.ask("query-status")["status"])
        except RunnerFailed as error:
            return error
        stopped = self._explain_status(status)
        if stopped is None:
            qmp.forget(IO_ERROR_EVENT)
            qmp.forget(PANIC_EVENT)
        return stopped

    def _explain_status(self, status: str) -> RunnerFailed | None:
        """Return why a machine of this status does not run; None while it does."""
        if status == "io-error":
            return RunnerFailed(
                f"the virtual machine stands still: its disk cannot be written, {self._room()}; make room and reset"
            )
        return self._crashed(status) if status not in _HEALTHY else None

    def _crashed(self, status: str) -> RunnerFailed:
        return RunnerFailed(f"the virtual machine crashed ({status}): {self.said()}")

    def _room(self) -> str:
        try:
            return f"{shutil.disk_usage(self.folder.parent).free >> 20} MiB are free in {self.folder.parent}"
        except OSError as error:
            return f"{self.folder.parent}: {error.strerror}"


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def make_overlay(path: Path, backing: Path) -> None:
    """Make an empty disk over another one, which it only reads.

    Raises:
        RunnerUnavailable: qemu-img is not installed.
        RunnerFailed: It cannot be made.
    """
    image_tool("create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(backing), str(path))


def image_tool(*arguments: str, timeout_s: float = 600.0) -> str:
    """Run qemu-img; returns what it prints.

    Raises:
        RunnerUnavailable: It is not installed.
        RunnerFailed: It failed, or took too long.
    """
    try:
        done = subprocess.run(
            ["qemu-img", *arguments], capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except OSError as error:
        raise RunnerUnavailable(
            f"qemu-img cannot be started ({error.strerror}): apt-get install qemu-utils"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise RunnerFailed(f"qemu-img {arguments[0]} took over {timeout_s:g} s: the disk may hang") from error
    if done.returncode != 0:
        raise RunnerFailed(f"qemu-img {arguments[0]} failed: {done.stderr.strip() or 'it did not say why'}")
    return done.stdout
