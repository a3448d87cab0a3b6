"""The doctor's report as a table for a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gym_queue.worker.doctor.report import HostReport

_GIB = 1024**3


def render(report: HostReport) -> RenderableType:
    """Return the report as something Rich prints: the host, its KVM, and a line for each runner."""
    memory_gib = report.memory_bytes / _GIB
    # Text, not str: Rich would take the brackets of `gym-queue[docker]` for markup.
    host = Text(f"host {report.hostname}: {report.os}, {report.cpus} CPUs, {memory_gib:.1f} GiB")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("", "runner", "reason", "remedy"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("", "runner"))
    for runner in report.runners:
        table.add_row(
            _mark(ok=runner.ready), Text(runner.name), Text(runner.reason), Text(runner.remedy or "")
        )
    if report.kvm is None:
        return Group(host, table)
    return Group(host, Text.assemble("KVM: ", _mark(ok=report.kvm.ok), " ", report.kvm.reason), table)


def _mark(*, ok: bool) -> Text:
    return Text("✓", style="green") if ok else Text("✗", style="red")
