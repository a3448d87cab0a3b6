"""This host's memory, as far as this process may use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
"""Root of the control group that a container sees as its own (cgroups(7), version 2)."""


@dataclass(frozen=True, slots=True)
class HostMemory:
    """In bytes."""

    total: int
    available: int
    """What could be used without swapping; caches of files count as such."""


def read_memory(cgroup: Path = CGROUP) -> HostMemory:
    """Return the host's memory; where a control group has a limit, the group's.

    Args:
        cgroup: Its folder.
    """
    host = psutil.virtual_memory()
    try:
        limit, used = (int((cgroup / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (cgroup / "memory.stat").read_text().splitlines())
        cached = int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):  # no such group, or "max": no limit
        return HostMemory(host.total, host.available)
    return HostMemory(min(host.total, limit), max(0, min(host.available, limit - used + cached)))
