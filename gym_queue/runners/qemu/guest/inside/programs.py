"""Processes: started as somebody, watched for their end, their output's end kept, and ended with all they started."""

from __future__ import annotations

import contextlib
import ctypes
import grp
import os
import pwd
import selectors
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

EXEC_MARK = "GYM_EXEC_ID"
"""The variable that every process of one command inherits."""
MAX_OUTPUT_BYTES = 1 << 20
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PR_SET_CHILD_SUBREAPER = 36
ROUNDS = 50
MAX_STRAYS = 64
FULL_PIPE_READS = 17
"""What empties the largest pipe that a user may have."""


class NoAccount(Exception):
    """There is no such user or group."""


class Account:
    """Somebody that commands run as.

    Args:
        user: A name or number; a group may follow behind a colon.
        home: Where they are at home; empty is where the system says.

    Raises:
        NoAccount: There is no such user or group here.
    """

    def __init__(self, user: str, home: str = "") -> None:
        name, _, group = user.partition(":")
        try:
            entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
        except KeyError:
            if not name.isdigit():
                raise NoAccount(f"there is no user {name!r} inside") from None
            entry = None
        try:
            self.gid = (int(group) if group.isdigit() else grp.getgrnam(group).gr_gid) if group else -1
        except KeyError:
            raise NoAccount(f"there is no group {group!r} inside") from None
        self.uid = entry.pw_uid if entry else int(name)
        self.name = entry.pw_name if entry else name
        self.home = home or (entry.pw_dir if entry else "") or "/"
        if self.gid < 0:
            self.gid = entry.pw_gid if entry else 0
        self.groups = os.getgrouplist(self.name, self.gid) if entry else [self.gid]

    def become(self) -> None:
        """Make this process theirs."""
        if os.geteuid() == 0:
            os.setgroups(self.groups)
            os.setgid(self.gid)
            os.setuid(self.uid)

    def variables(self) -> dict[str, str]:
        """Return what a login gives them."""
        named = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name}
        return {"PATH": PATH, "LANG": "C.UTF-8", "SHELL": "/bin/bash", **named}


class Output:
    """What comes out of a pipe: read as it comes, the last of it kept.

    Args:
        selector: Watches the pipe.
        fd: Its end; owned.
    """

    def __init__(self, selector: selectors.BaseSelector, fd: int) -> None:
        self.dropped = 0
        self._selector, self._fd = selector, fd
        self._kept = bytearray()
        self._is_kept = True
        os.set_blocking(fd, False)
        selector.register(fd, selectors.EVENT_READ, self.read)

    def read(self) -> bool:
        """Take some of what is there, if anything is."""
        try:
            data = os.read(self._fd, 65536)
        except BlockingIOError:
            return False
        if self._is_kept:
            self._kept += data
        if len(self._kept) > 2 * MAX_OUTPUT_BYTES:
            self._trim()
        if not data:
            self.close()
        return bool(data)

    def take_all(self) -> bytes:
        """Return the last of what was written until now."""
        for _ in range(FULL_PIPE_READS):  # and no more: others may go on writing
            if self._fd >= 0 and not self.read():
                break
        self._trim()
        return bytes(self._kept)

    def drop(self) -> None:
        """Keep nothing of what came, nor of what comes."""
        self._is_kept = False
        self._kept.clear()

    def close(self) -> None:
        """Let go."""
        if self._fd >= 0:
            self._selector.unregister(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _trim(self) -> None:
        extra = len(self._kept) - MAX_OUTPUT_BYTES
        if extra > 0:
            self.dropped += extra
            del self._kept[:extra]


class Children:
    """The processes that this one started, or was left: reaps them, and tells who waits for one."""

    def __init__(self) -> None:
        self.on_exit: dict[int, Callable[[int], None]] = {}
        """Process id → called with its status, as a shell counts."""
        self.strays: dict[int, int] = {}
        """Process id → status of the last that ended without anybody waiting."""
        libc: Any = ctypes.CDLL(None)
        libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def reap(self) -> None:
        """Take note of all that ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
            on_exit = self.on_exit.pop(pid, None)
            if on_exit is not None:
                on_exit(code)
                continue
            self.strays[pid] = code
            if len(self.strays) > MAX_STRAYS:
                del self.strays[next(iter(self.strays))]

    def fork(self, run: Callable[[], None], fds: Mapping[int, int]) -> int:
        """Start a process in a session of its own that runs a function.

        Args:
            run: Called there; the process ends with it, with status 126 when it raises.
            fds: Its file descriptors → which of ours they are.
        """
        pid = os.fork()
        if pid:
            return pid
        try:
            _begin(fds)
            run()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  a child never goes on as its parent would
            os.write(2, f"{error}\n".encode("utf-8", "backslashreplace"))
        finally:
            os._exit(126)


def program(argv: Sequence[str], account: Account, variables: Mapping[str, str]) -> Callable[[], None]:
    """Return a function that becomes a program of somebody's, at home."""

    def run() -> None:
        account.become()
        try:
            os.chdir(account.home)
        except OSError:
            os.chdir("/")
        environment = {**account.variables(), **variables}
        for folder in environment["PATH"].split(":"):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.execve(os.path.join(folder, argv[0]), list(argv), environment)  # noqa: S606  no shell but the one asked for
        os.write(2, f"there is no {argv[0]} inside\n".encode())
        os._exit(127)

    return run


def _begin(fds: Mapping[int, int]) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    for each in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD):
        signal.signal(each, signal.SIG_DFL)
    os.umask(0o022)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("0")
    spares = {wanted: os.dup(ours) for wanted, ours in fds.items()}
    high = {wanted: os.dup2(spare, 100 + wanted, inheritable=False) for wanted, spare in spares.items()}
    for wanted, spare in high.items():
        os.dup2(spare, wanted, inheritable=True)
    for name in os.listdir("/proc/self/fd"):
        if int(name) not in fds:
            with contextlib.suppress(OSError):
                os.close(int(name))


class _Process:
    __slots__ = ("group", "parent", "pid", "session", "state")

    def __init__(self, pid: int) -> None:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        self.pid, self.state = pid, fields[0]
        self.parent, self.group, self.session = (int(each) for each in fields[1:4])


def kill_all(mark: str, leader: int, spared: set[int]) -> None:
    """Kill what carries a mark, its process groups and sessions, and what those started, until none is left to kill.

    Args:
        mark: Of the command.
        leader: Its first process.
        spared: Processes that are not killed, nor the groups and sessions that they lead.
    """
    for _ in range(ROUNDS):
        doomed = _doomed(mark, leader, spared | {os.getpid()})
        for pid in doomed:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not doomed:
            return
    sys.stderr.write("something of a command that was killed still runs\n")


def _doomed(mark: str, leader: int, spared: set[int]) -> set[int]:
    wanted = f"{EXEC_MARK}={mark}".encode()
    alive: dict[int, _Process] = {}
    doomed, whole = {leader}, {leader}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            process = _Process(int(name))
            if process.state == b"Z":
                continue
            alive[process.pid] = process
            with open(f"/proc/{name}/environ", "rb") as file:
                if wanted in file.read().split(b"\0"):
                    doomed.add(process.pid)
                    whole |= {process.group, process.session}
    whole -= spared | {0}
    for _ in range(3):
        for process in alive.values():
            if process.parent in doomed or process.group in whole or process.session in whole:
                doomed.add(process.pid)
    return (doomed & set(alive)) - spared
