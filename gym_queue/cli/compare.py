"""``gym-anything report`` and ``compare``: what the output folders of benchmarks hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gym_queue.benchmark.compare import Comparison, compare_runs
from gym_queue.benchmark.report.build import Rate
from gym_queue.benchmark.report.write import PAGE, write_report

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Folder = Annotated[Path, typer.Argument(help="Folder that benchmark --output made.")]


def report(output: Folder, as_json: AsJson = False) -> None:
    """Make the report of a benchmark's output folder anew: report.json and report.html.

    Example: gym-anything report ./out
    """
    made = write_report(output)
    if as_json:
        typer.echo(made.model_dump_json(indent=2))
        return
    missing = f"; {made.missing} attempts have not ended" if made.missing else ""
    typer.echo(f"{_rate(made.total)}{missing}; {output / PAGE}")


def compare(a: Folder, b: Folder, as_json: AsJson = False) -> None:
    """Compare two benchmarks over the same tasks, attempt by attempt: is B better than A, or is it chance?

    Example: gym-anything compare ./before ./after
    """
    found = compare_runs(a, b)
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
        return
    console = Console()
    for line in _lines(found):
        console.print(Text(line), soft_wrap=True)
    if found.changed:
        console.print(_table(found))


def _rate(rate: Rate) -> str:
    if rate.rate is None:
        return f"no attempt was scored, {rate.not_scored} were not"
    interval = f"95 %: {rate.interval.low:.1%} to {rate.interval.high:.1%}"
    lost = f"; {rate.not_scored} not scored" if rate.not_scored else ""
    return f"{rate.passed} of {rate.scored} passed: {rate.rate:.1%} ({interval}){lost}"


def _lines(found: Comparison) -> list[str]:
    left = {
        "pairs not scored": found.not_scored,
        "attempts in A alone": found.only_in_a,
        "attempts in B alone": found.only_in_b,
    }
    out = ", ".join(f"{count} {name}" for name, count in left.items() if count)
    return [
        f"A {found.a}: {found.rate_a:.1%} of {found.pairs.total} pairs passed",
        f"B {found.b}: {found.rate_b:.1%}",
        *(f"   {name}: {a} in A, {b} in B" for name, (a, b) in found.differs.items()),
        f"B wins {found.wins}, loses {found.losses}, ties {found.ties}",
        f"B - A: {100 * found.difference:+.1f} points (95 %: {100 * found.interval.low:+.1f} to {100 * found.interval.high:+.1f}), p = {found.p_value:.3g}",
        *([f"left out: {out}"] if out else []),
        f"({found.methods})",
    ]


def _table(found: Comparison) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("task that changed", overflow="fold")
    for heading in ("A", "B", "of"):
        table.add_column(heading, justify="right")
    envs = {each.env for each in found.changed}
    for each in found.changed:
        numbers = (each.passed_a, each.passed_b, each.pairs)
        name = f"{each.env}/{each.task_id}" if len(envs) > 1 else each.task_id
        table.add_row(Text(name), *map(str, numbers))
    return table
