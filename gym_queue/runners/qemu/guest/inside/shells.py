"""Commands for a login bash. One that waits forks for each: to start another takes half a second in an emulated guest.

What is forked is told apart from a bash of its own by little; commands that could see it get one of their own.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import selectors
from collections.abc import Callable

from .programs import EXEC_MARK, Account, Children, Output, kill_all, program

OWN_SHELL = re.compile(
    rb"\$\$|\$\{\$|BASHPID|PPID|BASH_SUBSHELL|\b(logout|source|suspend)\b|(^|[\s;&|(){}!])\.\s"
)
"""Of commands that tell a shell from its child: its number, and files that are read into it and may ask for that."""
MAX_ARGUMENT_BYTES = 131072 - 16
MAX_IDLE = 2
CONTROL_FD, REPORT_FD = 61, 62
WAITING_SHELL = f"""\
while IFS= read -r -u {CONTROL_FD} BASH_EXECUTION_STRING; do
  set -m
  {{
    set +m
    echo "leader $BASHPID" >&{REPORT_FD}
    exec {CONTROL_FD}<&- {REPORT_FD}>&-
    export {EXEC_MARK}="${{BASH_EXECUTION_STRING##*/}}"
    IFS= read -r -d '' BASH_EXECUTION_STRING <"$BASH_EXECUTION_STRING.command" || :
    eval "$BASH_EXECUTION_STRING"
  }} </dev/null >"$BASH_EXECUTION_STRING.output" 2>&1 &
  set +m
  wait "$!"
  echo "status $?" >&{REPORT_FD}
done
"""
"""Reads the names of commands' files. Job control gives each command a process group, by which it is found; it says which
before it begins, since it may kill the shell that waits for it."""
_READ_AT_LOGIN = (
    "/etc/passwd",
    "/etc/group",
    "/etc/profile",
    "/etc/profile.d",
    "/etc/bash.bashrc",
    "/bin/bash",
)


class Command:
    """One that runs, or ran.

    Args:
        mark: Its own.
        output: What it writes.
        on_end: Called with its status, or None when that was lost.
    """

    def __init__(self, mark: str, output: Output, on_end: Callable[[int | None], None]) -> None:
        self.mark, self.output = mark, output
        self.leader = 0
        self._on_end: Callable[[int | None], None] | None = on_end

    def end(self, status: int | None) -> None:
        """Take note of its end; later ones are not heard."""
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(status)


class Shells:
    """Runs commands of several users.

    Args:
        selector: Watches their pipes.
        children: Starts and reaps.
        folder: For the files of commands; of this program alone.
    """

    def __init__(self, selector: selectors.BaseSelector, children: Children, folder: str) -> None:
        self.variables: dict[str, str] = {}
        self._selector, self._children, self._folder = selector, children, folder
        self._waiting: dict[int, _WaitingShell] = {}

    def set_up(self, variables: dict[str, str], account: Account) -> None:
        """Give the coming commands variables, and have a shell wait for the first."""
        self.variables = variables
        for shell in list(self._waiting.values()):
            shell.retire()
        self._find(account)

    def run(self, text: bytes, account: Account, on_end: Callable[[int | None], None]) -> Command:
        """Run a command to its end.

        Raises:
            OSError: It could not be started.
        """
        if OWN_SHELL.search(text):
            return self.start(text, account, on_end)
        mark = os.urandom(8).hex()
        self._children.reap()  # a shell that is dead is none to give a command to
        shell = self._find(account)
        path = os.path.join(self._folder, mark)
        self._write_command(path, text, account)
        try:
            os.mkfifo(path + ".output", 0o600)
            if os.geteuid() == 0:
                os.chown(path + ".output", account.uid, account.gid)
            fd = os.open(path + ".output", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            _remove(path)
            raise
        command = Command(mark, Output(self._selector, fd), on_end)
        shell.give(command, path)
        return command

    def start(self, text: bytes, account: Account, on_end: Callable[[int | None], None]) -> Command:
        """Run a command in a login bash of its own; raises as ``run``."""
        mark = os.urandom(8).hex()
        path = os.path.join(self._folder, mark)
        argument = os.fsdecode(text)
        if len(text) > MAX_ARGUMENT_BYTES:
            self._write_command(path, text, account)
            argument = (
                f"IFS= read -r -d '' BASH_EXECUTION_STRING <{path}.command || :\n"
                + 'eval "$BASH_EXECUTION_STRING"'
            )
        reader, writer = os.pipe()
        command = Command(mark, Output(self._selector, reader), on_end)
        nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        run = program(["bash", "-lc", argument], account, {**self.variables, EXEC_MARK: mark})
        command.leader = self._children.fork(run, {0: nothing, 1: writer, 2: writer})
        os.close(nothing)
        os.close(writer)

        def ended(status: int) -> None:
            _remove(path)
            command.end(status)

        self._children.on_exit[command.leader] = ended
        return command

    def kill(self, command: Command) -> None:
        """Kill a command with all it started."""
        leader, spared = command.leader, set(self._waiting)
        for pid, shell in self._waiting.items():
            if leader == 0 and shell.command is command:  # it is to begin when this shell has logged in
                leader = pid
                spared.discard(pid)
        kill_all(command.mark, leader, spared)
        self._children.reap()

    def _find(self, account: Account) -> _WaitingShell:
        """Return a shell that waits, or will; those that began before an account or profile changed are ended."""
        state = _state(account)
        found = None
        idle = [
            each
            for each in self._waiting.values()
            if each.command is None and each.account.uid == account.uid
        ]
        for position, each in enumerate(idle):
            if each.state != state or position >= MAX_IDLE:
                each.retire()
            else:
                found = each
        return found or _WaitingShell(
            self._selector, self._children, self._waiting, account, self.variables, state
        )

    def _write_command(self, path: str, text: bytes, account: Account) -> None:
        fd = os.open(path + ".command", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            if os.geteuid() == 0:
                os.fchown(fd, account.uid, account.gid)
            file.write(text)


class _WaitingShell:
    """A login bash that runs WAITING_SHELL."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        children: Children,
        waiting: dict[int, _WaitingShell],
        account: Account,
        variables: dict[str, str],
        state: object,
    ) -> None:
        self.account, self.state = account, state
        self.command: Command | None = None
        self._path = ""
        self._selector, self._children, self._all = selector, children, waiting
        control, self._control = os.pipe()
        self._report, report = os.pipe()
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        run = program(["bash", "-lc", WAITING_SHELL], account, variables)
        fds = {0: nothing, 1: nothing, 2: nothing, CONTROL_FD: control, REPORT_FD: report}
        self._pid = children.fork(run, fds)
        for fd in (control, report, nothing):
            os.close(fd)
        children.on_exit[self._pid] = self._ended
        waiting[self._pid] = self
        os.set_blocking(self._report, False)
        self._said = b""
        selector.register(self._report, selectors.EVENT_READ, self._listen)

    def give(self, command: Command, path: str) -> None:
        """Let it run a command."""
        self.command, self._path = command, path
        with contextlib.suppress(BrokenPipeError):  # it is gone: _ended will say so
            os.write(self._control, os.fsencode(path) + b"\n")

    def retire(self) -> None:
        """Let it end once its command has."""
        self.state = None
        if self._control >= 0 and self.command is None:
            os.close(self._control)
            self._control = -1

    def _listen(self) -> None:
        try:
            data = os.read(self._report, 4096)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(self._report)
            os.close(self._report)
            self._report = -1
            return
        *lines, self._said = (self._said + data).split(b"\n")
        for line in lines:
            word, _, value = line.partition(b" ")
            if word == b"leader" and self.command is not None:
                self.command.leader = int(value)
                self._children.on_exit[int(value)] = self.command.end  # should this shell be killed before it
            elif word == b"status" and self.command is not None:
                self._free(int(value))

    def _free(self, status: int | None) -> None:
        command, self.command = self.command, None
        _remove(self._path)
        if self.state is None:
            self.retire()
        if command is not None:
            self._children.on_exit.pop(command.leader, None)
            command.end(status)

    def _ended(self, _: int) -> None:
        if self._report >= 0:
            self._listen()
        self._all.pop(self._pid, None)
        if self._control >= 0:
            os.close(self._control)
            self._control = -1
        leader = self.command.leader if self.command is not None else 0
        if leader in self._children.strays:
            self._free(self._children.strays.pop(leader))
        elif leader == 0 or not os.path.exists(f"/proc/{leader}"):
            self._free(None)


def _state(account: Account) -> object:
    """Return what tells whether a login now would be another than it was."""
    in_profile = sorted(glob.glob("/etc/profile.d/*"))
    at_home = [
        os.path.join(account.home, name)
        for name in (".", ".bash_profile", ".bash_login", ".profile", ".bashrc")
    ]
    found: list[object] = [account.groups, account.home]
    for path in (*_READ_AT_LOGIN, *in_profile, *at_home):
        try:
            status = os.stat(path)
        except OSError:
            found.append(None)
            continue
        changed = 0 if path.endswith("/.") else status.st_mtime_ns
        found.append((status.st_dev, status.st_ino, changed))
    return found


def _remove(path: str) -> None:
    for each in (path + ".command", path + ".output"):
        with contextlib.suppress(OSError):
            os.unlink(each)
