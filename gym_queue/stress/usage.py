"""Processor time and memory of the programs under load."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import psutil
from pydantic import BaseModel, ConfigDict

MB = 1e6


class Usage(BaseModel):
    """What one program used while the load ran."""

    model_config = ConfigDict(frozen=True)

    name: str
    cpu_s: float
    """Processor seconds of the program and all it started."""
    cpu_percent: float
    """The same as a share of one core."""
    rss_mb: float
    """Resident memory of the program's own process at the end, in 10^6 bytes."""
    processes: int
    """Of the program, at the end: itself and all it started."""


class UsageMeter:
    """Reads what programs of this machine use, from its making on.

    Args:
        pids: Process id by the program's name.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._programs = {name: psutil.Process(pid) for name, pid in pids.items()}
        self._before = {name: _cpu_s(program) for name, program in self._programs.items()}

    def read(self, wall_s: float) -> list[Usage]:
        """Return what each program used since the start.

        Args:
            wall_s: How long that is, in seconds.
        """
        return [self._usage(name, program, wall_s) for name, program in self._programs.items()]

    def _usage(self, name: str, program: psutil.Process, wall_s: float) -> Usage:
        cpu_s = _cpu_s(program) - self._before[name]
        return Usage(
            name=name,
            cpu_s=cpu_s,
            cpu_percent=100 * cpu_s / wall_s if wall_s else 0.0,
            rss_mb=program.memory_info().rss / MB,
            processes=1 + len(program.children(recursive=True)),
        )


def _cpu_s(program: psutil.Process) -> float:
    """Return the seconds of a program, its children, and those of them that ended."""
    total = 0.0
    for process in (program, *program.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total
