"""What a run found, as a table and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from gym_queue.stress.figures import Line, Ratio
from gym_queue.stress.plan import Plan
from gym_queue.stress.usage import Usage


class Report(BaseModel):
    """One run."""

    model_config = ConfigDict(frozen=True)

    plan: Plan
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    machine: str = Field(default_factory=lambda: describe_machine())
    lines: list[Line]
    ratios: list[Ratio]
    usage: list[Usage]
    """Of the programs on this machine; empty when the fleet is somebody else's."""

    @property
    def error_count(self) -> int:
        """Calls that failed, over all lines."""
        return sum(line.errors.total() for line in self.lines)


def describe_machine() -> str:
    """Return what the figures were taken on: processor, cores, system, Python."""
    model = next(_models(), platform.machine())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def save(report: Report, path: Path) -> None:
    """Write a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(report.model_dump_json(indent=2) + "\n")


def show(report: Report, console: Console) -> None:
    """Print a report."""
    console.print(_lines(report))
    for found in report.ratios:
        rounds = " ".join(f"{value:.2f}" for value in found.rounds)
        console.print(f"{found.what}: [bold]{found.median:.2f}[/] (round by round: {rounds})")
    if report.usage:
        console.print(_usage(report))


def _lines(report: Report) -> Table:
    title = f"{report.plan.mode}: medians of {report.plan.rounds} rounds"
    table = Table(
        "what", "path", "at once", "p50 ms", "p95 ms", "p99 ms", "per s", "done", "errors", title=title
    )
    for line in report.lines:
        table.add_row(
            line.what,
            line.path,
            str(line.concurrency),
            *(f"{line.median(name):.2f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
            f"{line.median('rate'):.1f}",
            str(sum(figures.count for figures in line.rounds)),
            ", ".join(f"{count} {code}" for code, count in line.errors.items()) or "0",
        )
    return table


def _usage(report: Report) -> Table:
    table = Table("program", "cpu s", "of a core", "memory MB", "processes")
    for used in report.usage:
        table.add_row(
            used.name,
            f"{used.cpu_s:.1f}",
            f"{used.cpu_percent:.0f} %",
            f"{used.rss_mb:.0f}",
            str(used.processes),
        )
    return table


def _models() -> Iterator[str]:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            yield line.partition(":")[2].strip()
