"""The doctor's report for a terminal of any width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from gym_queue.worker.doctor.report import Finding, HostReport, RunnerReport

_GIB = 1024**3
_INDENT = 4


def render(report: HostReport, *, whole: bool = True) -> RenderableType:
    """Return the report as something Rich prints: the host, each runner with what it lacks, the extras.

    Args:
        report: What was found.
        whole: Say what the host lacks for runners that this version has not, too.
    """
    memory_gib = report.memory_bytes / _GIB
    # Text, not str: Rich would take the brackets of `gym-queue[docker]` for markup.
    parts: list[RenderableType] = [
        Text(f"host {report.hostname}: {report.os}, {report.cpus} CPUs, {memory_gib:.1f} GiB")
    ]
    if report.kvm is not None and whole:
        parts.append(Text.assemble("KVM: ", _mark(ok=report.kvm.ok), " ", report.kvm.reason))
    parts.append(Text())
    for runner in report.runners:
        if whole or runner.implemented:
            parts += _runner(runner)
    later = [runner.name for runner in report.runners if not runner.implemented]
    if later and not whole:
        parts.append(
            Text(
                f"  not in this version: {', '.join(later)} (--runner NAME says what this host lacks)", "dim"
            )
        )
    if report.extras:
        parts += [Text(), Text("not needed, and what they are for:")]
    for extra in report.extras:
        parts.append(Text.assemble(_mark(ok=extra.ok), f" {extra.name}: {extra.purpose}"))
        parts += _remedies([extra])
    return Group(*parts)


def _runner(runner: RunnerReport) -> Iterator[RenderableType]:
    yield Text.assemble(_mark(ok=runner.ready), " ", (runner.name, "bold"), f": {runner.reason}")
    yield from _remedies(runner.missing or [runner])


def _remedies(findings: Sequence[Finding | RunnerReport]) -> Iterator[RenderableType]:
    for remedy in dict.fromkeys(finding.remedy for finding in findings if finding.remedy):
        yield Padding(Text(f"→ {remedy}", "cyan"), (0, 0, 0, _INDENT))


def _mark(*, ok: bool) -> Text:
    return Text("✓", style="green") if ok else Text("✗", style="red")
