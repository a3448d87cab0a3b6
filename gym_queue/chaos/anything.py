"""The scenario random: any fault at any time, under clients that do all that clients do."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from gym_queue.chaos.cluster import Shape
from gym_queue.chaos.driver import Driver, null_spec
from gym_queue.chaos.faults import Gremlin, central_faults, worker_faults
from gym_queue.chaos.ledger import Excuses
from gym_queue.chaos.stage import Amount, Stage, close_all, tried
from gym_queue.chaos.survey import holds
from gym_queue.chaos.verdict import Check, at_least, at_most, equal

CLIENTS = 8
WORKERS = 3
SLOTS = 3
"""Of each worker: one more client than slots, now and then, while a worker is down."""
LEASE_S = 20.0
CALL_TIMEOUT_S = 120.0
STEPS = (5, 120)
"""Of an episode."""
RESET_AGAIN = 0.3
HEAL_S = 60.0
END_S = 2 * CALL_TIMEOUT_S


def shape(amount: Amount) -> Shape:  # noqa: ARG001  every scenario's is asked alike
    """Return the fleet it needs."""
    return Shape(workers=WORKERS, slots=SLOTS, heartbeat_s=1.0, networks=True)


async def play(stage: Stage) -> list[Check]:
    """Strike for so many seconds, let all heal, and look at the books."""
    seed, excuses, stop, end = stage.amount.seed, Excuses(), asyncio.Event(), asyncio.Event()
    gremlins = [
        Gremlin(stage, central_faults(stage), f"{seed}-central"),
        Gremlin(stage, worker_faults(stage, excuses), f"{seed}-workers"),
    ]
    clients = [_Client(stage, f"{seed}-{number}") for number in range(CLIENTS)]
    living = [asyncio.create_task(client.live(end)) for client in clients]
    striking = [asyncio.create_task(gremlin.run(stop)) for gremlin in gremlins]
    await asyncio.sleep(stage.amount.seconds)
    stop.set()
    await asyncio.gather(*striking)
    healthy_s = await holds(lambda: _all_healthy(stage), HEAL_S)
    end.set()
    _, hung = await asyncio.wait(living, timeout=END_S)
    for task in hung:
        task.cancel()
    await close_all(client.driver for client in clients)
    unexcused = excuses.unexcused(stage.books.losses)
    struck = sum((gremlin.struck for gremlin in gremlins), Counter())
    stage.notes.append("faults: " + ", ".join(f"{count} x {name}" for name, count in sorted(struck.items())))
    stage.notes += [f"lost without a reason: {loss}" for loss in unexcused]
    ledger = stage.ledger
    return [
        at_least("faults", struck.total(), 1),
        at_least("steps answered", ledger.steps_answered, 1),
        equal("environments lost whose worker and process lived", len(unexcused), 0),
        *stage.once(),
        equal("errors clients saw, 410 aside", ledger.failures, 0),
        equal("clients that hang", len(hung), 0),
        at_most("all workers healthy, once faults end", healthy_s, HEAL_S, "s"),
        await stage.count_leaks(2 * LEASE_S),
        equal("environments unaccounted for", ledger.envs_created - ledger.envs_closed - ledger.envs_lost, 0),
    ]


class _Client:
    """Opens, resets, steps and closes, with either way to take a loss."""

    def __init__(self, stage: Stage, seed: str) -> None:
        self._stage = stage
        self._random = Random(seed)  # noqa: S311  to be repeated, not to be guessed
        self.driver = stage.driver()

    async def live(self, end: asyncio.Event) -> None:
        while not end.is_set():
            self.driver = self._next_driver()
            await tried(self._episodes(end))
            await self.driver.close()

    def _next_driver(self) -> Driver:
        return self._stage.driver(
            null_spec(create_delay_s=self._random.choice((0.0, 0.3)), step_delay_s=0.02),
            on_lost="raise" if self._random.random() < 0.5 else "recreate",
            lease_s=LEASE_S,
            timeout=CALL_TIMEOUT_S,
            queue_timeout_s=CALL_TIMEOUT_S,
        )

    async def _episodes(self, end: asyncio.Event) -> None:
        await self.driver.open()
        again = True
        while again and not end.is_set():
            await self.driver.reset()
            for _ in range(self._random.randint(*STEPS)):
                await self.driver.step()
            again = self._random.random() < RESET_AGAIN


async def _all_healthy(stage: Stage) -> bool:
    workers = await stage.survey.workers()
    return [entry["status"] for entry in workers.values()] == ["healthy"] * stage.shape.workers
