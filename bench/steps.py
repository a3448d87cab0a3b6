"""Creates and steps of null environments, through the master and straight to the worker, in one run.

``make bench`` prints medians of several rounds, and the ratio of the two paths round by round: absolute times of a
shared machine say little, ratios taken in one run hold.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gym_queue.client import RemoteGymEnv
from gym_queue.settings import find_or_make_token
from gym_queue.testing import Fleet, FleetSetup

SPEC = {
    "id": "null",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 64]}],
    "action": [{"type": "keyboard"}],
}
ACTION = [{"keyboard": {"keys": "a"}}]


@dataclass(frozen=True)
class Round:
    """Seconds per call in one round."""

    create: list[float]
    through_master: list[float]
    straight: list[float]


def main() -> None:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200, help="per round and path")
    parser.add_argument("--creates", type=int, default=20, help="per round")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    find_or_make_token()
    with Fleet(FleetSetup(workers=1, max_envs=4, worker_arguments=("--runners", "fake"))) as fleet:
        rounds = [measure(fleet, options.steps, options.creates) for _ in range(options.rounds)]
    figures = summarise(rounds)
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(fleet: Fleet, steps: int, creates: int) -> Round:
    """Take one round: creates, then both paths in turn so that a drift of the machine hits both alike."""
    created = [timed(lambda: RemoteGymEnv.make(fleet.url, SPEC).close()) for _ in range(creates)]
    with (
        RemoteGymEnv.make(fleet.url, SPEC) as master,
        RemoteGymEnv.make(fleet.worker_urls[0], SPEC) as worker,
    ):
        master.reset()
        worker.reset()
        pairs = [(timed(lambda: step(master)), timed(lambda: step(worker))) for _ in range(steps)]
    return Round(created, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


def step(env: RemoteGymEnv) -> None:
    """Make one step that waits for nothing."""
    env.step(ACTION, 0.0, settle_after_actions=False)


def timed(work: Callable[[], None]) -> float:
    """Return how long ``work`` took, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def summarise(rounds: list[Round]) -> dict[str, float]:
    """Return medians over the rounds of each round's median, and the paths' ratio round by round."""
    median = statistics.median
    return {
        "create_and_close_ms": 1000 * median(median(r.create) for r in rounds),
        "step_through_master_ms": 1000 * median(median(r.through_master) for r in rounds),
        "step_straight_ms": 1000 * median(median(r.straight) for r in rounds),
        "ratio_master_to_straight": median(median(r.through_master) / median(r.straight) for r in rounds),
    }


def show(figures: dict[str, float]) -> None:
    """Print the table."""
    table = Table("median of rounds", "value")
    table.add_row("create + close, through Celery", f"{figures['create_and_close_ms']:.1f} ms")
    table.add_row("step through the master", f"{figures['step_through_master_ms']:.2f} ms")
    table.add_row("step straight to the worker", f"{figures['step_straight_ms']:.2f} ms")
    table.add_row("ratio of the two", f"{figures['ratio_master_to_straight']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
