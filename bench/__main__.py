"""Measures every row of docs/performance.md and exits with 1 when a ratio is missed by more than 15 %.

Absolute times of a shared machine say little: rows that are absolute are shown, and fail only with ``--strict``.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bench import hop, lives, memory, steps
from bench.effort import Effort
from bench.goals import Result, Row
from bench.report import check_markdown, save, show, write_markdown
from gym_queue.errors import GymQueueError
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


def main() -> None:
    """Run the benchmark; an error of ours is one line, and status 1."""
    try:
        sys.exit(_run())
    except GymQueueError as error:
        sys.exit(f"error: {error}")


def _run() -> bool:
    """Measure, report, and return whether the run fails."""
    groups = (
        Group(hop.hop, hop.rows()),
        Group(steps.running, steps.rows()),
        Group(lives.living, lives.rows()),
        Group(memory.routing, memory.rows()),
    )
    keys = [goal.key for group in groups for row in group.rows for goal in row.goals]
    options = _parse(keys)
    if options.markdown:
        check_markdown(options.markdown)
    configure_logging("WARNING")
    busy = os.getloadavg()[0]
    with Console(stderr=True).status("starting ..") as status:
        effort = Effort(options.rounds, options.seconds, status.update)
        results = [result for group in groups for result in group.measure(options.only or keys, effort)]
    show(results, Console())
    if options.json:
        save(results, options.json, busy=busy)
    if options.markdown:
        write_markdown(results, options.markdown, busy=busy)
    return any(result.fails(strict=options.strict) for result in results)


def _parse(keys: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, help="of each row (default 5; 2 with --quick)")
    parser.add_argument(
        "--seconds", type=float, help="of each measurement in a round (default 4; 1 with --quick)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument(
        "--only", action="append", choices=keys, metavar="ROW", help=f"one of {', '.join(keys)}; repeatable"
    )
    parser.add_argument("--strict", action="store_true", help="absolute rows fail too")
    parser.add_argument("--json", type=Path, help="write everything here")
    parser.add_argument(
        "--markdown", type=Path, help="refresh the table of this file, such as docs/performance.md"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    return options


if __name__ == "__main__":
    main()
