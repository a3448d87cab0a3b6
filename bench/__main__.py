"""Measures every row of docs/performance.md and exits with 1 when a ratio is missed by more than 15 %.

Absolute times of a shared machine say little: rows that are absolute are shown, and fail only with ``--strict``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import hop, lives, memory, steps, thousand
from bench.groups import Group, add_choices, keys_of, measure
from bench.report import check_markdown, write_markdown
from gym_queue.errors import GymQueueError


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
        Group(thousand.crowded, thousand.rows()),
    )
    options = _parse(keys_of(groups))
    if options.markdown:
        check_markdown(options.markdown)
    measured = measure(groups, options, seconds=options.seconds)
    if options.markdown:
        write_markdown(measured.results, options.markdown, busy=measured.busy)
    return any(result.fails(strict=options.strict) for result in measured.results)


def _parse(keys: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, help="of each row (default 5; 2 with --quick)")
    parser.add_argument(
        "--seconds", type=float, help="of each measurement in a round (default 4; 1 with --quick)"
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    add_choices(parser, keys)
    parser.add_argument(
        "--markdown", type=Path, help="refresh the table of this file, such as docs/performance.md"
    )
    options = parser.parse_args()
    options.rounds = options.rounds or (2 if options.quick else 5)
    options.seconds = options.seconds or (1.0 if options.quick else 4.0)
    return options


if __name__ == "__main__":
    main()
