"""Rows that share a setup, and measuring groups of them as a program is asked to."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.effort import Effort
from bench.goals import Result, Row
from bench.report import save, show
from gym_queue.log import configure_logging


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are measured on one setup."""

    setup: Callable[[], AbstractContextManager[Any]]
    rows: Sequence[Row[Any]]

    def measure(self, wanted: Sequence[str], effort: Effort) -> Iterator[Result]:
        """Yield the results that are wanted, one by one."""
        rows = [row for row in self.rows if any(goal.key in wanted for goal in row.goals)]
        if not rows:
            return
        with self.setup() as ready:
            for row in rows:
                effort.tell(row.goals[0].what)
                outcomes = row.measure(ready, effort)
                yield from (Result.of(*pair) for pair in zip(row.goals, outcomes, strict=True))


@dataclass(frozen=True, slots=True)
class Measured:
    """What a program measured."""

    results: list[Result]
    busy: float
    """Load average of the minute before."""


def keys_of(groups: Sequence[Group]) -> list[str]:
    """Return what rows are asked for by."""
    return [goal.key for group in groups for row in group.rows for goal in row.goals]


def add_choices(parser: argparse.ArgumentParser, keys: Sequence[str]) -> None:
    """Add the flags that say which rows are measured, and what becomes of them."""
    parser.add_argument(
        "--only", action="append", choices=keys, metavar="ROW", help=f"one of {', '.join(keys)}; repeatable"
    )
    parser.add_argument("--strict", action="store_true", help="absolute rows fail too")
    parser.add_argument("--json", type=Path, help="write everything here")


def measure(groups: Sequence[Group], options: argparse.Namespace, *, seconds: float) -> Measured:
    """Measure what the flags choose, show it, and write it where they say.

    Args:
        groups: What there is.
        options: With ``rounds``, and what ``add_choices`` added.
        seconds: Of each measurement in a round.
    """
    configure_logging("WARNING")
    busy, wanted = os.getloadavg()[0], options.only or keys_of(groups)
    with Console(stderr=True).status("starting ..") as status:
        effort = Effort(options.rounds, seconds, status.update)
        results = [result for group in groups for result in group.measure(wanted, effort)]
    show(results)
    if options.json:
        save(results, options.json, busy=busy)
    return Measured(results, busy)
