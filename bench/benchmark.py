"""Measures what a benchmark makes of its slots, what it adds to a step, and what its report of 500 attempts weighs.

Run as ``python -m bench.benchmark``: everything goes through the real programs, a fleet and ``gym-anything benchmark``.
"""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from bench import bigreport, loopsteps, slots
from bench.__main__ import Group
from bench.effort import Effort
from bench.report import save, show
from bench.runs import runs
from gym_queue.errors import GymQueueError
from gym_queue.log import configure_logging

ROUNDS = 3


def main() -> None:
    """Run the benchmark; an error of ours is one line, and status 1."""
    try:
        sys.exit(_run())
    except GymQueueError as error:
        sys.exit(f"error: {error}")


def _run() -> bool:
    groups = (
        Group(partial(runs, "local"), slots.rows()),
        Group(partial(runs, "fake"), [*loopsteps.rows(), *bigreport.rows()]),
    )
    keys = [goal.key for group in groups for row in group.rows for goal in row.goals]
    options = _parse(keys)
    configure_logging("WARNING")
    busy = os.getloadavg()[0]
    with Console(stderr=True).status("starting ..") as status:
        effort = Effort(options.rounds, 0.0, status.update)
        results = [result for group in groups for result in group.measure(options.only or keys, effort)]
    show(results, Console())
    if options.json:
        save(results, options.json, busy=busy)
    return any(result.fails(strict=options.strict) for result in results)


def _parse(keys: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.benchmark", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each row")
    parser.add_argument(
        "--only", action="append", choices=keys, metavar="ROW", help=f"one of {', '.join(keys)}; repeatable"
    )
    parser.add_argument("--strict", action="store_true", help="absolute times fail too")
    parser.add_argument("--json", type=Path, help="write everything here")
    return parser.parse_args()


if __name__ == "__main__":
    main()
