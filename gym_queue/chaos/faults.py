"""Faults that come at random, from a seed, one after the other and side by side."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from gym_queue.chaos.ledger import Excuses, Kill
from gym_queue.chaos.stage import Stage

REST_S = (0.5, 4.0)
"""Between two faults of one source."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something bad, and what mends it."""

    name: str
    strike: Callable[[], object]
    heal: Callable[[], object] | None
    longest_s: float
    """Until it is mended at the latest."""


class Gremlin:
    """Strikes and heals, over and over, until it is told to stop; everything is healed then.

    Args:
        stage: Whom to strike.
        faults: Of which any can come at any time.
        seed: Which, when and for how long.
    """

    def __init__(self, stage: Stage, faults: list[Fault], seed: str) -> None:
        self._stage, self._faults = stage, faults
        self._random = Random(seed)  # noqa: S311  to be repeated, not to be guessed
        self.struck: Counter[str] = Counter()
        """Faults by name."""

    async def run(self, stop: asyncio.Event) -> None:
        """Strike until told to stop."""
        while not await _waited(stop, self._random.uniform(*REST_S)):
            fault = self._random.choice(self._faults)
            hold_s = self._random.uniform(0.0, fault.longest_s)
            self._stage.say(f"{fault.name}" + (f" for {hold_s:.1f} s" if fault.heal else ""))
            await self._stage.do(fault.strike)
            self.struck[fault.name] += 1
            if fault.heal is not None:
                await _waited(stop, hold_s)
                await self._stage.do(fault.heal)


def central_faults(stage: Stage) -> list[Fault]:
    """Return what can happen to master and broker."""
    cluster, pick = stage.cluster, stage.amount.pick
    return [
        Fault("kill the master", cluster.kill_master, cluster.restart_master, 3.0),
        Fault("stop the master", cluster.pause_master, cluster.resume_master, 3.0),
        Fault("kill the broker", cluster.kill_broker, cluster.restart_broker, pick(10.0, 2.0)),
        Fault("stop the broker", cluster.pause_broker, cluster.resume_broker, pick(20.0, 3.0)),
    ]


def worker_faults(stage: Stage, excuses: Excuses) -> list[Fault]:
    """Return what can happen to workers; what it costs is excused."""
    cluster, hold_s = stage.cluster, stage.amount.pick(15.0, 3.0)
    found: list[Fault] = []
    for number in range(stage.shape.workers):
        name, of = cluster.worker_id(number), partial(_of, number)
        kill = partial(_kill_worker, stage, excuses, number)
        found += [
            Fault(f"kill {name}", kill, of(cluster.restart_worker), 5.0),
            Fault(f"stop {name}", of(cluster.pause_worker), of(cluster.resume_worker), hold_s),
            Fault(f"kill an environment of {name}", partial(_kill_env, stage, excuses, number), None, 0.0),
        ]
        if cluster.can_cut:
            found.append(Fault(f"cut {name} off", of(cluster.cut_worker), of(cluster.mend_worker), hold_s))
    return found


def _of(number: int, act: Callable[[int], object]) -> Callable[[], object]:
    return partial(act, number)


def _kill_worker(stage: Stage, excuses: Excuses, number: int) -> None:
    began = time.monotonic()
    stage.cluster.kill_worker(number)
    excuses.worker_killed(Kill(stage.cluster.worker_id(number), began, time.monotonic()))


def _kill_env(stage: Stage, excuses: Excuses, number: int) -> None:
    began = time.monotonic()
    if stage.cluster.kill_env_process(number):
        excuses.process_killed(Kill(stage.cluster.worker_id(number), began, time.monotonic()))


async def _waited(stop: asyncio.Event, seconds: float) -> bool:
    """Wait; return whether it was to be stopped."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
