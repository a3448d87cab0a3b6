"""A Windows guest: PowerShell by the agent (as the SYSTEM account) or by OpenSSH, files as tar archives."""

from __future__ import annotations

import io
import logging
import secrets
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path, PureWindowsPath
from typing import IO, Protocol

from gym_queue.errors import (
    EnvTimeout,
    Infrastructure,
    NotSupported,
    PathNotFound,
    RequestInvalid,
    RunnerFailed,
)
from gym_queue.runners import tarfiles
from gym_queue.runners.base import ExecResult
from gym_queue.runners.hostfiles import check_size
from gym_queue.runners.qemu.guest import powershell
from gym_queue.runners.qemu.guest.carrier import CALL_TIMEOUT_S, COPY_TIMEOUT_S
from gym_queue.runners.qemu.guest.plainfiles import unpack_copy
from gym_queue.runners.qemu.guest.protocol import GuestSetup
from gym_queue.runners.tail import MAX_OUTPUT_BYTES

logger = logging.getLogger(__name__)

KILL_TIMEOUT_S = 30.0


class WindowsCarrier(Protocol):
    """Runs programs in a Windows guest and moves files. Calls may come from several threads."""

    def run(self, words: Sequence[str], *, timeout_s: float) -> int:
        """Run a command line with cmd.exe, and return its exit status; what it writes is not looked at.

        Args:
            words: Of the command line; none holds a space or a quote.
            timeout_s: Seconds it may take.

        Raises:
            EnvTimeout: It took longer; it may still run.
            RunnerFailed: The guest is gone, does not answer, or this was closed.
        """

    def write(self, path: str, content: IO[bytes]) -> None:
        """Make a file."""

    def read(self, path: str, into: IO[bytes], *, last_bytes: int | None = None) -> None:
        """Append a file, or the end of it, to ``into``.

        Raises:
            PathNotFound: There is none.
        """

    def close(self) -> None:
        """Let go: running and coming calls fail. Safe to call twice, and from any thread."""


class WindowsGuest:
    r"""A ``Guest`` that is Windows 10 or later, which has PowerShell 5.1 and tar.

    Args:
        carrier: What takes scripts and files in; owned from here on.
        setup: With what commands run; whom as is the carrier's matter.
        shell: What commands are written for: powershell, unless cmd.
        home: Where relative paths begin, as ``C:\Users\ga``.
    """

    def __init__(self, carrier: WindowsCarrier, setup: GuestSetup, *, shell: str = "", home: str) -> None:
        self._carrier, self._setup = carrier, setup
        self._shell, self._home = shell, home

    def exec(self, command: str, *, timeout_s: float, user: str | None = None) -> ExecResult:
        """Run a command to its end, in PowerShell unless the spec's ``ssh`` says cmd; see ``Guest.exec``."""
        self._check(user)
        base = _new_base()
        body, batch = powershell.command_body(
            command, variables=self._setup.variables, base=base, shell=self._shell
        )
        try:
            self._put(base, body, batch)
            return self._run(base, timeout_s=timeout_s)
        except EnvTimeout as error:
            raise EnvTimeout(
                f"the command ran longer than {timeout_s:g} s and was killed: {command[:200]}",
                {"output": self._kill(base)[-2000:]},
            ) from error
        finally:
            self._remove(base)

    def start(self, command: str, name: str) -> WindowsStarted:
        """Start a command that goes on; see ``Guest.start``."""
        base, starter = _new_base(), _new_base()
        body, batch = powershell.command_body(
            command, variables=self._setup.variables, base=base, shell=self._shell
        )
        self._put(base, body, batch)
        start, run_batch = powershell.start_body(base)
        self._carrier.write(f"{base}.run.cmd", io.BytesIO(run_batch))
        result = self._script(start, base=starter)
        if result.exit_status != 0:
            raise RunnerFailed(f"the {name} cannot be started in the guest: {result.output.strip()[-500:]}")
        return WindowsStarted(self._carrier, base)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file or folder in; see ``Guest.copy_to``."""
        if not source.exists():
            raise PathNotFound(f"there is no {source} on this host to copy into the guest")
        check_size(source, self._setup.copy_bytes)
        path = powershell.windows_path(target, home=self._home)
        is_folder = source.is_dir() or target.endswith(("/", "\\"))
        result = self._script(powershell.place_body(path, is_folder=is_folder))
        how, _, folder = result.output.strip().rpartition("\n")[2].partition("|")
        if result.exit_status != 0 or how not in ("into", "as"):
            raise RequestInvalid(f"{path} cannot be made in the guest: {result.output.strip()[-500:]}")
        name = "." if source.is_dir() else source.name if how == "into" else PureWindowsPath(path).name
        self._unpack(source, name, folder)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file or folder out; see ``Guest.copy_from``."""
        path = powershell.windows_path(source, home=self._home)
        base = _new_base()
        try:
            result = self._script(
                powershell.pack_body(f"{base}.tar", path), base=base, timeout_s=COPY_TIMEOUT_S
            )
            if result.exit_status == powershell.MISSING_STATUS:
                raise PathNotFound(f"there is no {source} in the guest")
            if result.exit_status != 0:
                raise RunnerFailed(f"{source} cannot be packed in the guest: {result.output.strip()[-500:]}")
            with tempfile.TemporaryFile(dir=self._setup.scratch) as packed:
                self._carrier.read(f"{base}.tar", packed)
                unpack_copy(packed, target, shown=source, setup=self._setup)
        finally:
            self._remove(base)

    def set_time(self, unix_s: float) -> None:
        """Set the guest's clock; where the account inside may not, a warning says that it stays as it is."""
        result = self._script(powershell.clock_body(unix_s))
        if result.exit_status != 0:
            logger.warning("the guest's clock stays as it is: %s", result.output.strip()[-500:])

    def close(self) -> None:
        """Let go of the guest."""
        self._carrier.close()

    def _check(self, user: str | None) -> None:
        if user not in (None, "root", self._setup.user):
            raise NotSupported(
                f"a command in a Windows guest runs as the account that lets us in: {user!r} cannot be chosen"
            )

    def _unpack(self, source: Path, name: str, folder: str) -> None:
        base = _new_base()
        try:
            with tempfile.TemporaryFile(dir=self._setup.scratch) as packed:
                tarfiles.pack(source, name, packed, uid=0, gid=0)
                packed.seek(0)
                self._carrier.write(f"{base}.tar", packed)
            body = powershell.unpack_body(f"{base}.tar", folder)
            result = self._script(body, base=base, timeout_s=COPY_TIMEOUT_S)
            if result.exit_status != 0:
                raise RequestInvalid(
                    f"{source} cannot be unpacked in {folder}: {result.output.strip()[-500:]}"
                )
        finally:
            self._remove(base)

    def _script(self, body: str, *, base: str | None = None, timeout_s: float = CALL_TIMEOUT_S) -> ExecResult:
        """Run a script of our own."""
        own = base or _new_base()
        try:
            self._put(own, body + "\nexit 0\n", None)
            return self._run(own, timeout_s=timeout_s)
        finally:
            if base is None:
                self._remove(own)

    def _put(self, base: str, body: str, batch: bytes | None) -> None:
        self._carrier.write(f"{base}.ps1", io.BytesIO(powershell.script_file(body, base=base)))
        if batch is not None:
            self._carrier.write(f"{base}.cmd", io.BytesIO(batch))

    def _run(self, base: str, *, timeout_s: float) -> ExecResult:
        status = self._carrier.run(powershell.run_line(base), timeout_s=timeout_s)
        return ExecResult(status & 0xFFFFFFFF, _read_output(self._carrier, base))

    def _kill(self, base: str) -> str:
        """End what a script file began; return what it wrote so far. One that has not begun finds its file removed."""
        with suppress(Infrastructure):
            pid = _read(self._carrier, f"{base}.pid").strip()
            if pid.isdigit():
                self._carrier.run(
                    ("taskkill.exe", "/T", "/F", "/PID", pid.decode()), timeout_s=KILL_TIMEOUT_S
                )
            return _read_output(self._carrier, base)
        return ""

    def _remove(self, base: str) -> None:
        with suppress(
            Infrastructure
        ):  # the guest may be gone, or too busy: what is left is a few files of its own
            self._carrier.run(("del", "/q", f"{base}.*"), timeout_s=KILL_TIMEOUT_S)


class WindowsStarted:
    """A command that runs on in a guest: looked at when asked.

    Args:
        carrier: Of the guest.
        base: Of its files.
    """

    def __init__(self, carrier: WindowsCarrier, base: str) -> None:
        self._carrier, self._base = carrier, base

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs, or when the guest went first."""
        try:
            text = _read(self._carrier, f"{self._base}.status").strip()
        except Infrastructure:
            return None
        return int(text) if text.lstrip(b"-").isdigit() else None

    @property
    def output(self) -> str:
        """The last of what it wrote."""
        try:
            return _read_output(self._carrier, self._base)
        except Infrastructure:
            return ""


def _new_base() -> str:
    return f"{powershell.FOLDER}\\gym-{secrets.token_hex(8)}"


def _read(carrier: WindowsCarrier, path: str) -> bytes:
    """Return the end of a file; nothing where there is none."""
    content = io.BytesIO()
    with suppress(PathNotFound):
        carrier.read(path, content, last_bytes=MAX_OUTPUT_BYTES)
    return content.getvalue()


def _read_output(carrier: WindowsCarrier, base: str) -> str:
    carrier.run(powershell.copy_line(base), timeout_s=CALL_TIMEOUT_S)
    data = _read(carrier, f"{base}.txt")
    if len(data) == MAX_OUTPUT_BYTES:  # the end of something longer may begin inside a character
        note = "[the output before this was dropped]\n"
        return note + powershell.decode(data.lstrip(bytes(range(0x80, 0xC0))))
    return powershell.decode(data)
