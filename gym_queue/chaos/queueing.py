"""The scenarios burst and churn: more creates at once than slots. All must be served, in order."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress

from gym_queue.chaos.cluster import Shape
from gym_queue.chaos.driver import Driver
from gym_queue.chaos.stage import Amount, Stage, tried
from gym_queue.chaos.survey import becomes
from gym_queue.chaos.verdict import Check, at_least, at_most, equal
from gym_queue.errors import GymQueueError

LOOK_S = 0.2
LIFE_S = 0.5
"""Of an environment in churn."""
BURST_WAIT_S = 60.0
CHURN_WAIT_S = 600.0


def burst_shape(amount: Amount) -> Shape:
    """Return the fleet that burst needs."""
    return Shape(workers=2, slots=amount.pick(8, 3))


def churn_shape(amount: Amount) -> Shape:
    """Return the fleet that churn needs."""
    return Shape(workers=2, slots=amount.pick(50, 5))


async def burst(stage: Stage) -> list[Check]:
    """Ask for three times what there is at once; close one after the other."""
    slots = stage.shape.workers * stage.shape.slots
    crowd = _Crowd(stage, 3 * slots, wait_s=BURST_WAIT_S)
    async with crowd:
        closing = asyncio.create_task(_close_in_turn(crowd))
        await crowd.all_ended()
        crowd.opened.put_nowait(None)
        await closing
    return await crowd.checks(slots)


async def churn(stage: Stage) -> list[Check]:
    """Ask for ten times what there is at once, each environment for half a second."""
    slots = stage.shape.workers * stage.shape.slots
    crowd = _Crowd(stage, 10 * slots, wait_s=CHURN_WAIT_S, life_s=LIFE_S)
    async with crowd:
        await crowd.all_ended()
    return await crowd.checks(slots)


class _Crowd:
    """Creates at once, and the order in which they waited and were served."""

    def __init__(self, stage: Stage, count: int, *, wait_s: float, life_s: float | None = None) -> None:
        self._stage, self._wait_s, self._life_s = stage, wait_s, life_s
        self.drivers = [stage.driver() for _ in range(count)]
        self.opened: asyncio.Queue[Driver | None] = asyncio.Queue()
        self._queued: dict[str, None] = {}
        """Ids of creates that were seen to wait, in the master's order."""
        self._served: list[str] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Crowd:
        self._tasks = [asyncio.create_task(self._run(driver)) for driver in self.drivers]
        self._looking = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._looking is not None:
            self._looking.cancel()

    async def all_wait(self) -> None:
        """Wait until each create is served, failed, or in the master's queue."""
        await becomes(lambda: self._known() >= len(self.drivers), self._wait_s)

    async def all_ended(self) -> None:
        """Wait until each create was answered, and in churn closed too."""
        await asyncio.gather(*self._tasks)

    async def checks(self, slots: int) -> list[Check]:
        """Return what every crowd is judged by."""
        stage, count = self._stage, len(self.drivers)
        return [
            equal("creates served", len(self._served), count),
            equal("creates refused", sum(stage.ledger.errors.values()), 0),
            at_least("creates that waited", len(self._queued), count - slots),
            at_most(
                "most later creates that overtook one",
                most_overtaken(list(self._queued), self._served),
                slots - 1,
            ),
            equal("environments lost", stage.ledger.envs_lost, 0),
            await stage.count_leaks(),
        ]

    def _known(self) -> int:
        return len({*self._queued, *self._served}) + self._stage.ledger.failures

    async def _run(self, driver: Driver) -> None:
        env_id = str(uuid.uuid4())
        if await tried(driver.open(env_id=env_id, queue_timeout_s=self._wait_s)) is None:
            return
        self._served.append(env_id)
        self.opened.put_nowait(driver)
        if self._life_s is not None:
            await asyncio.sleep(self._life_s)
            await driver.close()

    async def _look(self) -> None:
        """Follow the queue: who comes later is behind."""
        while True:
            with suppress(GymQueueError):
                for env_id in await self._stage.survey.waiting():
                    self._queued.setdefault(env_id)
            await asyncio.sleep(LOOK_S)


async def _close_in_turn(crowd: _Crowd) -> None:
    await crowd.all_wait()
    while (driver := await crowd.opened.get()) is not None:
        await driver.close()


def most_overtaken(queued: Sequence[str], served: Sequence[str]) -> int:
    """Return by how many later creates a waiting one was overtaken at most.

    Creates that are opened side by side may swap, so that fewer than the fleet has slots is in order.

    Args:
        queued: Ids that waited, first to be served first.
        served: Ids as they were answered; those that never waited are passed over.
    """
    rank = {env_id: at for at, env_id in enumerate(queued)}
    order = [rank[env_id] for env_id in served if env_id in rank]
    return max((sum(other > mine for other in order[:at]) for at, mine in enumerate(order)), default=0)
