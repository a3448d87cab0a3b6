"""What a thousand workers with ten thousand environments cost a master, and one client's steps through it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.effort import Effort
from bench.fleets import Started, started
from bench.goals import Bound, Goal, Outcome, Row
from gym_queue import RemoteGymEnv
from gym_queue.stress.figures import quantile
from gym_queue.stress.plan import null_spec
from gym_queue.stress.usage import UsageMeter
from tests.scale.simulated import simulated_workers

TYPE = [{"keyboard": {"keys": "a"}}]
REST_S = 2.0
LONGER = 3
"""Times as long as other rows: each worker sends a heartbeat every few seconds."""


@dataclass(frozen=True, slots=True)
class Crowded:
    """A fleet with one environment, beside which others come and go."""

    fleet: Started
    env: RemoteGymEnv


@contextmanager
def crowded() -> Iterator[Crowded]:
    """Start one master and one worker, whose environment is stepped."""
    with started(1) as fleet, RemoteGymEnv(fleet.url, env_spec=null_spec(), token=fleet.token) as env:
        env.reset()
        yield Crowded(fleet, env)


def rows() -> list[Row[Crowded]]:
    """Return the rows measured here."""
    most, crowd = Bound.AT_MOST, "1,000 workers with 10,000 envs"
    step = f"a client's steps, one by one, beside the heartbeats of {crowd}"
    return [
        Row(
            [
                Goal("crowd-step", f"{step}: p50", "ms", most, 1.5, "without them"),
                Goal("crowd-step-p99", f"{step}: p99", "ms", most, 2, "without them", binding=False),
                Goal("crowd-step-slowest", f"{step}: the slowest", "ms", most, 100, binding=False),
                Goal("crowd-cpu", f"the master meanwhile, {crowd}", "% of a core", most, 100, binding=False),
                Goal("crowd-memory", f"memory of the master's process, {crowd}", "MB", most, 300),
            ],
            _crowd,
        )
    ]


def _crowd(crowded: Crowded, effort: Effort) -> list[Outcome]:
    seconds = LONGER * effort.seconds
    alone, beside, usages, failed = [], [], [], 0
    for number in range(effort.rounds):
        effort.tell(f"round {number + 1} of {effort.rounds}: alone")
        alone.append(_steps_ms(crowded.env, seconds))
        effort.tell(f"round {number + 1} of {effort.rounds}: beside a thousand workers")
        with simulated_workers(crowded.fleet.url, crowded.fleet.token) as simulated:
            meter, begun = UsageMeter({"master": crowded.fleet.pids["master"]}), time.monotonic()
            beside.append(_steps_ms(crowded.env, seconds))
            usages += meter.read(time.monotonic() - begun)
            failed += simulated.stop()["failed"]
        _await_end(crowded.fleet)
    return [
        Outcome([quantile(took, 0.5) for took in beside], [quantile(took, 0.5) for took in alone], failed),
        Outcome([quantile(took, 0.99) for took in beside], [quantile(took, 0.99) for took in alone], failed),
        Outcome([took[-1] for took in beside], errors=failed),
        Outcome([usage.cpu_percent for usage in usages]),
        Outcome([usage.rss_mb for usage in usages]),
    ]


def _await_end(fleet: Started) -> None:
    """Wait until the master has noticed that the thousand are gone, and has put away what they had."""
    while fleet.health()["healthy_workers"] > 1:
        time.sleep(0.1)
    time.sleep(REST_S)


def _steps_ms(env: RemoteGymEnv, seconds: float) -> list[float]:
    """Step one after the other; return how long each took, the quickest first."""
    took_ms = []
    end = time.monotonic() + seconds
    while (begun := time.monotonic()) < end:
        env.step(TYPE, wait_between_actions=0, settle_after_actions=False)
        took_ms.append((time.monotonic() - begun) * 1000)
    return sorted(took_ms)
