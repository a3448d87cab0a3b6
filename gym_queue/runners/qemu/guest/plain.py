"""A guest with a POSIX shell and none of our programs: scripts go in by a carrier, one after the other."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import EnvTimeout, Infrastructure, RunnerFailed
from gym_queue.runners.base import ExecResult
from gym_queue.runners.qemu.guest import posix
from gym_queue.runners.qemu.guest.carrier import CALL_TIMEOUT_S, Carrier
from gym_queue.runners.qemu.guest.plainfiles import PlainFiles
from gym_queue.runners.qemu.guest.protocol import GuestSetup

logger = logging.getLogger(__name__)

KILL_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs between systems with a POSIX shell."""

    folder: str
    """Where any account may write."""
    words: tuple[str, ...] | None = None
    """What runs a command; None is a login bash, or a login sh where there is no bash."""
    home: str | None = None
    """Where every account starts, on a system that has no list of them."""


LINUX = Kind(folder="/tmp")  # noqa: S108  inside the guest
ANDROID = Kind(folder="/data/local/tmp", words=("sh", "-c"), home="/data/local/tmp")


class PlainGuest:
    """A ``Guest`` by scripts alone.

    Args:
        carrier: What takes them in; owned from here on.
        setup: Whom commands run as, with what.
        kind: Of system.
    """

    def __init__(self, carrier: Carrier, setup: GuestSetup, kind: Kind = LINUX) -> None:
        self._carrier, self._setup, self._kind = carrier, setup, kind
        self._known: dict[str, posix.Account] = {}
        self._lock = threading.Lock()
        self._ways_found: posix.Ways | None = None
        self._files = PlainFiles(carrier, setup)

    def exec(self, command: str, *, timeout_s: float, user: str | None = None) -> ExecResult:
        """Run a command in a login shell, to its end; see ``Guest.exec``."""
        who, argv, mark = self._prepare(command, user)
        script = posix.command_script(argv, mark=mark, home=who.home, folder=self._kind.folder)
        try:
            result = self._carrier.run(script, timeout_s=timeout_s)
        except EnvTimeout as error:
            raise EnvTimeout(
                f"the command ran longer than {timeout_s:g} s and was killed: {command[:200]}",
                {"output": self._kill(mark)[-2000:]},
            ) from error
        return ExecResult(result.exit_status, posix.read_output(result.output))

    def start(self, command: str, name: str) -> PlainStarted:
        """Start a command that goes on; see ``Guest.start``."""
        who, argv, mark = self._prepare(command, None)
        script = posix.background_script(argv, mark=mark, home=who.home, folder=self._kind.folder)
        result = self._carrier.run(script, timeout_s=CALL_TIMEOUT_S)
        if result.exit_status != 0:
            raise RunnerFailed(f"the {name} cannot be started in the guest: {_last(result.output)}")
        return PlainStarted(self._carrier, posix.look_script(mark=mark, folder=self._kind.folder))

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file or folder in; see ``Guest.copy_to``."""
        who = self._account(self._setup.user)
        self._files.copy_in(source, target, who, self._ways())

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file or folder out; see ``Guest.copy_from``."""
        self._files.copy_out(source, target, self._account(self._setup.user), self._ways())

    def set_time(self, unix_s: float) -> None:
        """Set the guest's clock; where no way leads to root inside, a warning says that it stays as it is."""
        root = " ".join(self._ways().root or ())
        tries = (f"-s @{unix_s:.3f}", f"-s @{unix_s:.0f}", f"@{unix_s:.0f}")  # GNU, BusyBox, toybox
        script = " || ".join(f"{root} date -u {each} >/dev/null 2>&1" for each in tries)
        if self._carrier.run(script, timeout_s=CALL_TIMEOUT_S).exit_status != 0:
            logger.warning(
                "the guest's clock stays as it is: the account that works inside is not root there"
            )

    def close(self) -> None:
        """Let go of the guest."""
        self._carrier.close()

    def _prepare(self, command: str, user: str | None) -> tuple[posix.Account, list[str], str]:
        if "\0" in command:
            raise RunnerFailed("a command holds a NUL, which no shell can be given")
        who = self._account(user or self._setup.user)
        mark = secrets.token_hex(8)
        variables: Mapping[str, str] = {
            posix.EXEC_MARK: mark,
            "HOME": who.home,
            "USER": who.name,
            "LOGNAME": who.name,
            **self._setup.variables,
        }
        shell = self._kind.words or (("bash", "-lc") if "bash" in self._ways().tools else ("sh", "-lc"))
        return who, [*self._ways().become(who), *posix.in_shell(command, shell, variables)], mark

    def _kill(self, mark: str) -> str:
        script = posix.kill_script(mark=mark, root=self._ways().root, folder=self._kind.folder)
        return posix.read_output(self._carrier.run(script, timeout_s=KILL_TIMEOUT_S).output)

    def _ways(self) -> posix.Ways:
        with self._lock:
            if self._ways_found is None:
                result = self._carrier.run(posix.probe_script(), timeout_s=CALL_TIMEOUT_S)
                self._ways_found = posix.read_ways(result.output)
            return self._ways_found

    def _account(self, user: str) -> posix.Account:
        if user not in self._known:
            self._known[user] = self._find_account(user)
        return self._known[user]

    def _find_account(self, user: str) -> posix.Account:
        ways = self._ways()
        if self._kind.home is not None:
            uid = 0 if user in ("root", "0", "0:0") else ways.uid
            return posix.Account("root" if uid == 0 else "shell", uid, uid, self._kind.home, is_known=False)
        result = self._carrier.run(posix.find_account_script(user), timeout_s=CALL_TIMEOUT_S)
        return posix.read_account(user, result.output if result.exit_status == 0 else "")


class PlainStarted:
    """A command that runs on in a guest: looked at when asked, so that nothing waits for it meanwhile.

    Args:
        carrier: Of the guest.
        look: A script that writes its status and the end of its output.
    """

    def __init__(self, carrier: Carrier, look: str) -> None:
        self._carrier, self._look = carrier, look

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs, or when the guest went first."""
        status = self._read()[0].strip()
        return int(status) if status.isdigit() else None

    @property
    def output(self) -> str:
        """The last of what it wrote."""
        return self._read()[1]

    def _read(self) -> tuple[str, str]:
        try:
            text = self._carrier.run(self._look, timeout_s=CALL_TIMEOUT_S).output
        except Infrastructure:
            return "", ""
        status, _, output = text.partition("\n")
        return status, output


def _last(output: str) -> str:
    return output.strip()[-500:] or "no reason given"
