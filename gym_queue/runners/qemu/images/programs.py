"""Programs of the host that make images: found, run in namespaces of their own, explained when they fail."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from gym_queue.errors import RunnerFailed

BUILD_PROGRAMS = ("debootstrap", "chroot", "mke2fs", "debugfs", "qemu-img")
PACKAGES: Mapping[str, str] = {
    "debootstrap": "debootstrap",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "qemu-img": "qemu-utils",
    "chroot": "coreutils",
}
LAST_LINES = 5
MIB = 1 << 20
_NAMESPACES = ("setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child")
"""What is mounted or started inside is gone with the program, and the program with this one, however they end."""


def check_builder() -> None:
    """See that this host can build a Debian system.

    Raises:
        RunnerFailed: It is another platform, a program is missing, or this is not root.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise RunnerFailed(
            f"an image is built on x86_64 Linux, and this is {platform.machine()} {platform.system()}: "
            "build it there, and import its disk, kernel and initrd here by gym-anything image import"
        )
    check_programs(BUILD_PROGRAMS)
    if os.geteuid() != 0:
        raise RunnerFailed(
            "building an image needs root, for other users' files and chroot: run it with sudo and the same --image-dir, "
            "or import an image that is built elsewhere"
        )


def check_programs(names: Iterable[str]) -> None:
    """Raise RunnerFailed, with the packages to install, where programs are missing."""
    missing = [name for name in names if find_program(name) is None]
    if missing:
        packages = dict.fromkeys(PACKAGES.get(name, name) for name in missing)
        raise RunnerFailed(
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed: "
            f"apt-get install {' '.join(packages)}"
        )


def find_program(name: str) -> str | None:
    """Return a program's path; those for root alone are looked for too."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def check_room(folder: Path, needed_bytes: int, what: str) -> None:
    """Raise RunnerFailed where a file system has less room."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise RunnerFailed(
            f"{what} takes {needed_bytes // MIB:,} MiB, and {folder} has {free // MIB:,} MiB free: "
            "make room, or name another folder by --image-dir"
        )


def namespaces() -> tuple[str, ...]:
    """Return what starts a program in namespaces of its own; nothing in containers that may not make any."""
    can = (
        find_program("setpriv")
        and find_program("unshare")
        and subprocess.run([*_NAMESPACES, "true"], capture_output=True, check=False)
    )
    return _NAMESPACES if can and can.returncode == 0 else ()


def run(
    command: Sequence[str | Path],
    what: str,
    *,
    variables: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _: None,
) -> None:
    """Run a program to its end; it is killed, with what it started, when this is interrupted.

    Args:
        command: The program and its arguments.
        what: What it does, for the error: ``the packages cannot be installed``.
        variables: Of its environment, beside those of this process.
        on_line: Given each line that it writes.

    Raises:
        RunnerFailed: It failed; its last lines are in the sentence.
    """
    path = find_program(str(command[0])) or str(command[0])
    last: deque[str] = deque(maxlen=LAST_LINES)
    search = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    process = subprocess.Popen(
        [path, *map(str, command[1:])],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C", "PATH": search, **(variables or {})},
        start_new_session=True,
        text=True,
        errors="replace",
    )
    try:
        for line in process.stdout or ():
            if line.strip():
                last.append(line.strip())
                on_line(line.strip())
        status = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()
    if status != 0:
        errors = [line for line in last if line.startswith("E:")] or last
        raise RunnerFailed(f"{what}: {' | '.join(errors) or f'{path} ended with status {status}'}")
