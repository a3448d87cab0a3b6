"""The scenario worker: one is killed while clients step on it and creates are on their way to it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter

from gym_queue.chaos.cluster import Shape
from gym_queue.chaos.driver import Driver, null_spec
from gym_queue.chaos.stage import Amount, Stage, close_all, tried
from gym_queue.chaos.survey import becomes, holds
from gym_queue.chaos.verdict import Check, at_least, at_most, equal
from gym_queue.errors import EnvLost

CLIENTS = 8
CREATES = 6
CREATE_S = 1.0
TOLD_S = 2.0
MOVED_S = 5.0
PATIENCE_S = 60.0


def shape(amount: Amount) -> Shape:  # noqa: ARG001  every scenario's is asked alike
    """Return the fleet it needs: what is left has room for all."""
    return Shape(workers=2, slots=CLIENTS + CREATES)


class _Create:
    """A create that is on its way while the worker dies."""

    def __init__(self, stage: Stage) -> None:
        self.env_id = str(uuid.uuid4())
        self.driver = stage.driver(null_spec(create_delay_s=CREATE_S))
        self.done_at: float | None = None

    async def run(self) -> None:
        await self.driver.open(env_id=self.env_id)
        self.done_at = time.monotonic()


async def play(stage: Stage) -> list[Check]:
    """Kill a worker with all on it."""
    drivers = await stage.players(CLIENTS, null_spec(step_delay_s=0.05))
    stop = asyncio.Event()
    playing = [asyncio.create_task(driver.play(stop)) for driver in drivers]
    victim = Counter(driver.worker_id for driver in drivers).most_common(1)[0][0]
    victims = [driver for driver in drivers if driver.worker_id == victim]
    number = int(victim.rpartition("-")[2]) - 1
    await stage.do(
        stage.cluster.pause_worker, number
    )  # so that creates are on their way to it for long enough
    creates = [_Create(stage) for _ in range(CREATES)]
    creating = [asyncio.create_task(tried(create.run())) for create in creates]
    moved = await _on_their_way(stage, creates, victim)
    stage.say(f"killing {victim} with {len(victims)} clients and {len(moved)} creates")
    killed_at = time.monotonic()
    await stage.do(stage.cluster.kill_worker, number)
    await asyncio.wait(creating, timeout=PATIENCE_S)
    await becomes(lambda: len(stage.books.losses) >= len(victims), PATIENCE_S)
    told = sorted(loss.at - killed_at for loss in stage.books.losses)
    done = [create.done_at - killed_at for create in moved if create.done_at is not None]
    twice = await _live_twice(stage, [*creates, *drivers])
    stop.set()
    await asyncio.gather(*playing)
    await close_all([*drivers, *(create.driver for create in creates)])
    return [
        at_least("creates on their way to it", len(moved), 1),
        at_most("first 410", told[0] if told else None, TOLD_S, "s"),
        at_most("last 410", told[-1] if len(told) == len(victims) else None, PATIENCE_S, "s"),
        at_most("first failed-over create", min(done, default=None), MOVED_S, "s"),
        equal("creates served", sum(create.done_at is not None for create in creates), CREATES),
        equal("clients of the other worker that saw an error", _hurt(stage, victim, len(victims)), 0),
        equal("ids with more than one environment, or one too many", twice, 0),
        *stage.once(),
        await stage.count_leaks(),
    ]


async def _on_their_way(stage: Stage, creates: list[_Create], worker_id: str) -> list[_Create]:
    """Wait until creates are being opened on a worker; return which."""
    found: list[_Create] = []

    async def are_opened() -> bool:
        found.clear()
        for create in creates:
            state = await stage.survey.get(f"/envs/{create.env_id}")
            if state["state"] == "creating" and state["worker_id"] == worker_id:
                found.append(create)
        return bool(found)

    await holds(are_opened, PATIENCE_S)
    return found


async def _live_twice(stage: Stage, wanted: list[_Create | Driver]) -> int:
    """Return how many environments the workers have beyond one for each client that has one."""
    drivers = [each.driver if isinstance(each, _Create) else each for each in wanted]
    lost = {loss.env_id for loss in stage.books.losses}
    ids = {driver.env.env_id for driver in drivers if driver.env is not None} - lost
    found = Counter(await stage.survey.envs_on_workers())
    return sum((found - Counter(ids)).values())


def _hurt(stage: Stage, victim: str, expected: int) -> int:
    told = stage.ledger.errors.get(EnvLost.code, 0)
    elsewhere = sum(loss.worker_id != victim for loss in stage.books.losses)
    return stage.ledger.failures + elsewhere + max(0, told - expected - elsewhere)
