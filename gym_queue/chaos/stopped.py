"""The scenario stopped: a worker hangs for a while, as one on a machine that swaps does."""

from __future__ import annotations

import asyncio
import time

from gym_queue.chaos.cluster import Shape
from gym_queue.chaos.driver import null_spec
from gym_queue.chaos.stage import Amount, Stage, close_all, played_on, tried
from gym_queue.chaos.survey import holds
from gym_queue.chaos.verdict import Check, at_most, equal

CLIENTS = 8
CREATES = 4
BEATS = 3
"""Heartbeats in which it must be noticed."""
PATIENCE_S = 60.0
STOPPED = 0


def shape(amount: Amount) -> Shape:
    """Return the fleet it needs: one worker has room for all that the other would get."""
    return Shape(workers=2, slots=CLIENTS + 2 * CREATES, heartbeat_s=amount.pick(5.0, 1.0))


async def play(stage: Stage) -> list[Check]:
    """Stop a worker, create while nobody knows and once it is known, and let it go on."""
    limit_s, name = BEATS * stage.shape.heartbeat_s, stage.cluster.worker_id(STOPPED)
    drivers = await stage.players(CLIENTS, null_spec(step_delay_s=0.05))
    stop = asyncio.Event()
    playing = [asyncio.create_task(driver.play(stop)) for driver in drivers]
    await played_on(drivers, timeout_s=PATIENCE_S)
    stage.say(f"stopping {name}")
    stopped_at = time.monotonic()
    await stage.do(stage.cluster.pause_worker, STOPPED)
    early = [stage.driver() for _ in range(CREATES)]
    opening = [asyncio.create_task(tried(driver.open())) for driver in early]
    noticed_s = await holds(lambda: _is_shunned(stage, name), limit_s + PATIENCE_S)
    await asyncio.sleep(max(0.0, stopped_at + limit_s - time.monotonic()))
    late = [stage.driver() for _ in range(CREATES)]
    await asyncio.wait_for(asyncio.gather(*(tried(driver.open()) for driver in late)), PATIENCE_S)
    await asyncio.wait(opening, timeout=PATIENCE_S)
    served_s = time.monotonic() - stopped_at
    misled = sum(driver.worker_id == name for driver in late)
    stage.say(f"letting {name} go on")
    await stage.do(stage.cluster.resume_worker, STOPPED)
    goes_on = await played_on(drivers, timeout_s=PATIENCE_S)
    healthy_s = await holds(lambda: _is_healthy(stage, name), PATIENCE_S)
    stop.set()
    await asyncio.gather(*playing)
    await close_all([*drivers, *early, *late])
    served = sum(driver.opened for driver in [*early, *late])
    return [
        at_most("noticed", noticed_s, limit_s, "s"),
        equal("new environments on it after that", misled, 0),
        equal("creates meanwhile that were served", served, 2 * CREATES),
        at_most("the last of them, after it stopped", served_s, limit_s + 10.0, "s"),
        equal("errors clients saw", sum(stage.ledger.errors.values()), 0),
        equal("environments lost", stage.ledger.envs_lost, 0),
        goes_on,
        at_most("healthy again", healthy_s, limit_s, "s"),
        *stage.once(),
        await stage.count_leaks(),
    ]


async def _is_shunned(stage: Stage, worker_id: str) -> bool:
    return bool((await stage.survey.workers())[worker_id]["status"] != "healthy")


async def _is_healthy(stage: Stage, worker_id: str) -> bool:
    return not await _is_shunned(stage, worker_id)
