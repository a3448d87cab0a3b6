"""Whose a container is: labels that say which process of which machine made it, and whether that still lives."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

PREFIX = "gym-queue"
ENV, HOST, BOOT, NAMESPACE, PID, STARTED = (
    f"{PREFIX}.{name}" for name in ("env", "host", "boot", "pid-namespace", "pid", "started")
)
"""Labels of everything that this package makes."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where process ids mean something: one pid namespace of one boot of one machine."""

    host: str
    boot: str
    namespace: str

    @staticmethod
    def here() -> Place:
        """Return that of this process."""
        return Place(_host_id(), _read("/proc/sys/kernel/random/boot_id"), _namespace())


def labels_of(env_id: str, place: Place, pid: int) -> dict[str, str]:
    """Return the labels of what the process ``pid`` makes for an environment."""
    return {
        ENV: env_id,
        HOST: place.host,
        BOOT: place.boot,
        NAMESPACE: place.namespace,
        PID: str(pid),
        STARTED: start_of(pid) or "",
    }


def is_orphan(labels: Mapping[str, str], here: Place, start_of: Callable[[int], str | None]) -> bool:
    """Whether the process that made something has gone. False when that cannot be known from here.

    Args:
        labels: The thing's.
        here: Where this process is.
        start_of: Returns when the process with an id began; None when there is none.
    """
    if labels.get(HOST) != here.host or not labels.get(PID, "").isdecimal():
        return False
    if labels.get(BOOT) != here.boot:
        return bool(here.boot)  # no process outlives a restart of its machine
    if labels.get(NAMESPACE) != here.namespace:
        return False
    return start_of(int(labels[PID])) != labels.get(STARTED)


def start_of(pid: int) -> str | None:
    """Return when a process began, in the kernel's own count: no clock that is set changes it; None for none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return _start_elsewhere(pid)
    return stat.rpartition(")")[2].split()[19]  # proc(5): starttime, field 22; the name may hold anything


def _start_elsewhere(pid: int) -> str | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        return str(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _host_id() -> str:
    return _read("/etc/machine-id") or platform.node()


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
