"""The scenario restarts: the master is killed and started again while clients step."""

from __future__ import annotations

import asyncio
import time

from gym_queue.chaos.cluster import Shape
from gym_queue.chaos.driver import Driver, null_spec
from gym_queue.chaos.stage import Amount, Stage, close_all, played_on, tried
from gym_queue.chaos.survey import becomes, holds
from gym_queue.chaos.verdict import Check, at_most, equal

CLIENTS = 8
WAITERS = 3
WAIT_S = 600.0
RESUME_S = 1.0
PATIENCE_S = 30.0
STEP_S = 0.05
"""Long enough that most kills meet a step of every client on its way."""


def shape(amount: Amount) -> Shape:  # noqa: ARG001  every scenario's is asked alike
    """Return the fleet it needs: full, so that others wait."""
    return Shape(workers=2, slots=CLIENTS // 2)


async def play(stage: Stage) -> list[Check]:
    """Kill and restart, again and again."""
    count = stage.amount.pick(20, 3)
    drivers = await stage.players(CLIENTS, null_spec(step_delay_s=STEP_S))
    stop = asyncio.Event()
    playing = [asyncio.create_task(driver.play(stop)) for driver in drivers]
    waiters = [stage.driver(queue_timeout_s=WAIT_S) for _ in range(WAITERS)]
    waiting = [asyncio.create_task(tried(waiter.open())) for waiter in waiters]
    order = await _queue(stage)
    resumed = [await _restart(stage, drivers, f"restart {number + 1} of {count}") for number in range(count)]
    goes_on = await played_on(drivers, timeout_s=PATIENCE_S)
    kept = await _queue(stage)
    stop.set()
    await asyncio.gather(*playing)
    await close_all(drivers)
    await asyncio.wait(waiting, timeout=PATIENCE_S)
    await close_all(waiters)
    worst = None if None in resumed else max(float(took or 0) for took in resumed)
    return [
        equal("restarts", len(resumed), count),
        equal("errors clients saw", sum(stage.ledger.errors.values()), 0),
        equal("environments lost", stage.ledger.envs_lost, 0),
        *stage.once(),
        at_most("last client steps again, after the master listens (worst)", worst, RESUME_S, "s"),
        goes_on,
        equal("waiting creates that kept their places", _same(order, kept), WAITERS),
        equal(
            "waiting creates that were served in the end", sum(waiter.opened for waiter in waiters), WAITERS
        ),
        await stage.count_leaks(),
    ]


async def _restart(stage: Stage, drivers: list[Driver], what: str) -> float | None:
    """Kill and restart the master while every client steps; return how long until all of them do again."""
    await played_on(drivers, timeout_s=PATIENCE_S)
    stage.say(what)
    await stage.do(stage.cluster.kill_master)
    await stage.do(stage.cluster.restart_master)
    return await _resume(drivers)


async def _queue(stage: Stage) -> list[str]:
    """Return who waits, once all are there that should."""
    found: list[str] = []

    async def is_whole() -> bool:
        found[:] = await stage.survey.waiting()
        return len(found) == WAITERS

    await holds(is_whole, PATIENCE_S)
    return found


def _same(before: list[str], after: list[str]) -> int:
    return sum(one == other for one, other in zip(before, after, strict=False))


async def _resume(drivers: list[Driver]) -> float | None:
    """Return how long it took until each client was answered a step by the master that listens now."""
    listens_at = time.monotonic()
    if await becomes(lambda: all(driver.answered_at > listens_at for driver in drivers), PATIENCE_S) is None:
        return None
    return max(driver.answered_at for driver in drivers) - listens_at
