"""Whether what runs in the terminal waits for input: measured, never guessed from time alone.

The shell's line editor, vi, less, top and the like take the terminal out of canonical mode while they wait
for a key, and bash puts it back before it runs a command. So, once the input was read:
- not canonical: quiet, unless a foreground process is running on a CPU or in disk I/O, or all of them sit in
  a timed sleep or wait for a child (``top`` sleeps before its first screen);
- canonical: quiet only when a foreground process sits in read(2) on the terminal (``cat``, ``read``). A
  ``sleep``, a build or a server is not, and is waited for. Without /proc this case never counts as quiet.
"""

from __future__ import annotations

import fcntl
import os
import platform
import struct
import termios
from pathlib import Path

_LFLAG = 3
_READ_SYSCALL = {"x86_64": "0", "aarch64": "63"}.get(platform.machine(), "none")
_SLEEP_SYSCALLS = {
    "x86_64": frozenset({"35", "230", "61", "247"}),  # nanosleep, clock_nanosleep, wait4, waitid
    "aarch64": frozenset({"101", "115", "260", "95"}),
}.get(platform.machine(), frozenset())
_PROC = Path("/proc")


def is_waiting_for_input(master_fd: int, tty_fd: int, shell_pid: int) -> bool:
    """Return whether the terminal's foreground has read all its input and waits for more.

    Args:
        master_fd: The terminal's side of the pty; only this one tells the foreground to other sessions.
        tty_fd: The program's side of the pty.
        shell_pid: The shell in it.
    """
    if _unread_bytes(tty_fd):
        return False
    try:
        foreground = os.tcgetpgrp(master_fd)
        canonical = bool(termios.tcgetattr(tty_fd)[_LFLAG] & termios.ICANON)
    except (OSError, termios.error):
        return False
    members = _group_members(shell_pid, foreground)
    if any(state in "RD" for state in members.values()):
        return False
    if canonical:
        return any(_reads_terminal(pid, tty_fd) for pid in members)
    return not members or any(_syscall(pid)[0] not in _SLEEP_SYSCALLS for pid in members)


def _unread_bytes(tty_fd: int) -> int:
    """Return how much input no program has read yet; in canonical mode, of whole lines."""
    count: int = struct.unpack("i", fcntl.ioctl(tty_fd, termios.FIONREAD, b"\0" * 4))[0]
    return count


def _group_members(shell_pid: int, group: int) -> dict[int, str]:
    """Return pid → state letter of the shell's descendants (and the shell) in a process group."""
    members: dict[int, str] = {}
    todo = [shell_pid]
    while todo:
        pid = todo.pop()
        try:
            fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
            todo += map(int, (_PROC / f"{pid}/task/{pid}/children").read_text().split())
        except OSError:  # it ended, or there is no /proc
            continue
        if int(fields[2]) == group:
            members[pid] = fields[0]
    return members


def _syscall(pid: int) -> list[str]:
    """Return the number and arguments of the system call a process is in; a blank when it cannot be told."""
    try:
        return (_PROC / f"{pid}/syscall").read_text().split() or [""]
    except OSError:
        return [""]


def _reads_terminal(pid: int, tty_fd: int) -> bool:
    call, *arguments = _syscall(pid)
    if call != _READ_SYSCALL or not arguments:
        return False
    try:
        opened = (_PROC / f"{pid}/fd/{int(arguments[0], 16)}").readlink()
    except OSError:
        return False
    return str(opened) in (os.ttyname(tty_fd), "/dev/tty")
