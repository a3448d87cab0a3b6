"""Measures what a benchmark makes of its slots, what it adds to a step, and what its report of 500 attempts weighs.

Run as ``python -m bench.benchmark``: everything goes through the real programs, a fleet and ``gym-anything benchmark``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from bench import bigreport, loopsteps, slots
from bench.groups import Group, add_choices, keys_of, measure
from bench.runs import runs
from gym_queue.errors import GymQueueError

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
    options = _parse(keys_of(groups))
    measured = measure(groups, options, seconds=0.0)
    return any(result.fails(strict=options.strict) for result in measured.results)


def _parse(keys: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.benchmark", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each row")
    add_choices(parser, keys)
    return parser.parse_args()


if __name__ == "__main__":
    main()
