"""The rows as a table: on the terminal, as JSON, and in a Markdown file between two marks."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.goals import Result
from bench.wrk import loader
from gym_queue.errors import StartupFailed
from gym_queue.stress.report import describe_machine

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
FILE_COLUMNS = 180
HEADINGS = ("row", "what", "measured", "reference", "ratio", "target", "verdict")


def show(results: Sequence[Result]) -> None:
    """Print the table, as wide as the terminal, or as a reader of a log file would like it."""
    table = Table(title="medians of rounds")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading == "row")
    for result in results:
        style = "" if not result.missed_by else "yellow"
        table.add_row(*_cells(result), style=style)
    Console(width=None if sys.stdout.isatty() else FILE_COLUMNS).print(table)


def save(results: Sequence[Result], path: Path, *, busy: float) -> None:
    """Write everything as JSON.

    Args:
        results: The rows.
        path: The file.
        busy: The machine's load average before the run.
    """
    rows = [_as_json(result) for result in results]
    found = {**_circumstances(results, busy), "rows": rows}
    path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")


def write_markdown(results: Sequence[Result], path: Path, *, busy: float) -> None:
    """Put the table between the marks of a Markdown file.

    Args:
        results: The rows.
        path: The file.
        busy: The machine's load average before the run.

    Raises:
        StartupFailed: The file has no such marks.
    """
    before, after = _around_table(path)
    facts = _circumstances(results, busy)
    said = (
        f"Measured {facts['at']} on {facts['machine']}. Load by {facts['loader']}; rounds of a row: {facts['rounds']}; "
        f"load average before the run: {facts['load_average_before']}."
    )
    lines = [
        said,
        "",
        "| " + " | ".join(HEADINGS) + " |",
        "|" + "---|" * len(HEADINGS),
        *("| " + " | ".join(_cells(result)) + " |" for result in results),
    ]
    path.write_text("\n".join((before + BEGIN, *lines, END + after)))


def check_markdown(path: Path) -> None:
    """Refuse a file that the table cannot be put into, before anything is measured.

    Raises:
        StartupFailed: It is not there, or has no marks.
    """
    _around_table(path)


def _around_table(path: Path) -> tuple[str, str]:
    try:
        before, begin, rest = path.read_text().partition(BEGIN)
    except OSError as error:
        raise StartupFailed(f"{path} cannot be read: {error.strerror}; name a Markdown file") from error
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise StartupFailed(f"{path} has no place for the table: put {BEGIN} and {END} where it goes")
    return before, after


def _cells(result: Result) -> tuple[str, ...]:
    goal = result.goal
    reference, ratio = result.reference, result.ratio
    return (
        goal.key,
        goal.what,
        f"{_number(result.figure)} {goal.unit}",
        f"{goal.reference}: {_number(reference)} {goal.unit}".lstrip(": ") if reference is not None else "",
        f"{ratio:.2f} ({min(result.ratios):.2f} to {max(result.ratios):.2f})" if ratio is not None else "",
        goal.target,
        result.verdict,
    )


def _as_json(result: Result) -> dict[str, Any]:
    return {
        "row": result.goal.key,
        "what": result.goal.what,
        "unit": result.goal.unit,
        "figure": result.figure,
        "figures": result.figures,
        "reference": result.reference,
        "references": result.references,
        "ratio": result.ratio,
        "ratios": result.ratios,
        "target": result.goal.target,
        "errors": result.errors,
        "missed_by": result.missed_by,
    }


def _circumstances(results: Sequence[Result], busy: float) -> dict[str, Any]:
    counts = {len(result.figures) for result in results}
    return {
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "machine": describe_machine(),
        "loader": loader(),
        "load_average_before": round(busy, 2),
        "rounds": " to ".join(str(count) for count in sorted({min(counts), max(counts)})),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
