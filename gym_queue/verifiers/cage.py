"""Confines the process that calls it, before an author's code runs there. Standard library alone: it is loaded by file.

Limits of the system hold everywhere. Where the kernel has Landlock (Linux 5.13, landlock(7)) the process opens only
the files it was given, writes only into its own folder, and (Linux 6.12) signals only its own children. A worker
that is root gives its verifiers another user; CAP_DAC_READ_SEARCH alone is left to them, so that folders closed to
others need not be opened or copied, and Landlock says which of them it may read.
"""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import struct
import sys
from pathlib import Path
from typing import Any

SYSTEM_PATHS = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc", "/sys/devices/system/cpu"),
    *("/dev/urandom", "/dev/random", "/dev/zero", "/dev/full", "/run/systemd/resolve"),
)
"""What programs read wherever they run, besides /etc."""
CAP_DAC_READ_SEARCH, CAP_SETPCAP = 2, 8  # linux/capability.h
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # of every architecture
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8  # linux/landlock.h
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_SCOPES = 3  # abstract sockets, signals
_PR_SET_DUMPABLE, _PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 4, 28, 38, 47  # linux/prctl.h
_SECBIT_NO_SETUID_FIXUP = 1 << 2  # linux/securebits.h
_CAPABILITY_VERSION_3 = 0x20080522


def landlock_version() -> int:
    """Return the version of Landlock that this kernel offers; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, int(ctypes.CDLL(None).syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def can_read_all() -> bool:
    """Whether this process may hand on the right to read closed folders."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    held = next((int(line.split()[1], 16) for line in lines if line.startswith("CapPrm:")), 0)
    return bool(held >> CAP_DAC_READ_SEARCH & 1 and held >> CAP_SETPCAP & 1)


def enter(plan: dict[str, Any]) -> None:
    """Confine this process for good.

    Args:
        plan: ``read`` and ``write``: paths; ``user``: a uid or None; ``reads_all``; the limits ``cpu_s``,
            ``memory_bytes``, ``file_bytes``, ``processes``.

    Raises:
        OSError: The system refused a part of it; the process must end.
    """
    ruleset = _make_ruleset(plan["read"] + _settings(reads_all=plan["reads_all"]), plan["write"])
    _limit(plan)
    if plan["user"] is not None:
        _become(plan["user"], reads_all=plan["reads_all"])
    if sys.platform == "linux":
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if ruleset is not None:
        _syscall(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)


def _limit(plan: dict[str, Any]) -> None:
    processes = plan["processes"]
    if plan["user"] is None:
        processes += _tasks_of(os.getuid())  # the limit counts all that the user runs
    for kind, amount in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, plan["cpu_s"]),
        (resource.RLIMIT_FSIZE, plan["file_bytes"]),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_AS, plan["memory_bytes"]),
    ):
        ceiling = resource.getrlimit(kind)[1]
        amount = amount if ceiling == resource.RLIM_INFINITY else min(amount, ceiling)
        if sys.platform == "linux" or kind != resource.RLIMIT_AS:  # macOS refuses it
            hard = amount + (kind == resource.RLIMIT_CPU)  # SIGXCPU, which says why, comes before SIGKILL
            resource.setrlimit(kind, (amount, hard if ceiling == resource.RLIM_INFINITY else ceiling))


def _tasks_of(uid: int) -> int:
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == uid:
                count += sum(1 for _ in (folder / "task").iterdir())
        except OSError:
            continue  # it has ended
    return count


def _become(uid: int, *, reads_all: bool) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    if reads_all:
        _prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP)  # without it, access(2) would see no capability
    os.setresuid(uid, uid, uid)
    if reads_all:
        bit = 1 << CAP_DAC_READ_SEARCH
        header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
        if ctypes.CDLL(None, use_errno=True).capset(header, struct.pack("6I", bit, bit, bit, 0, 0, 0)):
            raise OSError(ctypes.get_errno(), "capset failed")
        _prctl(_PR_CAP_AMBIENT, 2, CAP_DAC_READ_SEARCH)
    _prctl(_PR_SET_DUMPABLE, 1)  # /proc/self is its own again


def _make_ruleset(read: list[str], write: list[str]) -> int | None:
    version = landlock_version()
    if version == 0:
        return None
    known = 13 + (version >= 2) + (version >= 3) + (version >= 5)
    handled = (1 << known) - 1
    attributes = struct.pack("3Q", handled, 0, _SCOPES if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = _syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(size), 0)
    for path in (*SYSTEM_PATHS, *read):
        _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
    for path in ("/dev/null", *write):
        _allow(ruleset, path, handled)
    return ruleset


def _settings(*, reads_all: bool) -> list[str]:
    """Return /etc, or for who is let through closed files, the parts of it that are open to everybody."""
    root = "/etc"
    return _open_parts(root)[0] if reads_all else [root]


def _open_parts(folder: str) -> tuple[list[str], bool]:
    """Return the largest open parts of a folder, and whether that is all of it."""
    parts: list[str] = []
    is_whole = True
    try:
        entries = [*os.scandir(folder)]
    except FileNotFoundError:
        return [], False
    for entry in entries:
        try:
            mode = entry.stat(follow_symlinks=False).st_mode
        except FileNotFoundError:  # such as a lock of useradd's
            is_whole = False
            continue
        if stat.S_ISLNK(mode):
            continue  # what it leads to has rights of its own
        if stat.S_ISDIR(mode) and mode & stat.S_IXOTH:
            inner, is_open = _open_parts(entry.path)
            parts += inner
            is_whole = is_whole and is_open
        elif mode & stat.S_IROTH and not stat.S_ISDIR(mode):
            parts.append(entry.path)
        else:
            is_whole = False
    return ([folder], True) if is_whole else (parts, False)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there needs no right
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _OF_FILES
        _syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", access, fd), 0)
    finally:
        os.close(fd)


def _syscall(number: int, *arguments: Any) -> int:
    result = int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"system call {number} failed")
    return result


def _prctl(option: int, value: int, argument: int = 0) -> None:
    if sys.platform == "linux" and ctypes.CDLL(None, use_errno=True).prctl(option, value, argument, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option} failed")
