"""The scenario drain: a worker is emptied, undone, and then asked to end, while clients create and step."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from gym_queue.chaos.cluster import Shape
from gym_queue.chaos.driver import Driver, null_spec
from gym_queue.chaos.stage import Amount, Stage, close_all, played_on, tried
from gym_queue.chaos.survey import becomes
from gym_queue.chaos.verdict import Check, at_least, at_most, equal

CLIENTS = 8
CREATORS = 3
GRACE_S = 60.0
END_S = 10.0
"""In which a worker must end once its last environment is closed."""
PATIENCE_S = 60.0
DRAINED = 0


def shape(amount: Amount) -> Shape:  # noqa: ARG001  every scenario's is asked alike
    """Return the fleet it needs: one worker has room for all."""
    return Shape(workers=2, slots=CLIENTS + CREATORS, heartbeat_s=1.0, grace_s=GRACE_S)


@dataclass(slots=True)
class _Stream:
    """Clients that create, step a little and close, over and over."""

    stage: Stage
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    created: list[tuple[float, str]] = field(default_factory=list)
    """When each create was sent, and which worker it came to."""

    async def run(self) -> None:
        while not self.stop.is_set():
            driver, sent_at = self.stage.driver(), time.monotonic()
            if await tried(driver.open()) is None:
                continue
            self.created.append((sent_at, driver.worker_id))
            await tried(_play_a_little(driver))
            await driver.close()

    def since(self, at: float, worker_id: str | None = None) -> int:
        """Return how many creates were sent after ``at``, and came to a worker."""
        return sum(sent >= at and worker_id in (None, worker) for sent, worker in self.created)


async def _play_a_little(driver: Driver) -> None:
    await driver.reset()
    for _ in range(3):
        await driver.step()


async def play(stage: Stage) -> list[Check]:
    """Drain, undrain, end."""
    name = stage.cluster.worker_id(DRAINED)
    drivers = await stage.players(CLIENTS, null_spec(step_delay_s=0.05))
    stop, stream = asyncio.Event(), _Stream(stage)
    guests = [driver for driver in drivers if driver.worker_id == name]
    playing = [asyncio.create_task(driver.play(stop)) for driver in drivers]
    streaming = [asyncio.create_task(stream.run()) for _ in range(CREATORS)]
    await becomes(lambda: stream.since(0.0, name) > 0, PATIENCE_S)
    stage.say(f"draining {name}")
    slipped = await _slipped_while_drained(stage, stream, name)
    goes_on = await played_on(guests, timeout_s=PATIENCE_S)
    await stage.survey.set_draining(name, draining=False)
    undrained_at = time.monotonic()
    back_s = await becomes(lambda: stream.since(undrained_at, name) > 0, PATIENCE_S)
    stage.say(f"ending {name}")
    ending = await _end(stage, stream, guests, name)
    stop.set()
    stream.stop.set()
    await asyncio.gather(*playing, *streaming)
    await close_all(drivers)
    return [
        at_least("episodes that ran on it", len(guests), 1),
        equal("creates that slipped onto the drained worker", slipped, 0),
        goes_on,
        at_most("new environments come to it again once undrained", back_s, PATIENCE_S, "s"),
        *ending,
        equal("errors clients saw", sum(stage.ledger.errors.values()), 0),
        equal("environments lost", stage.ledger.envs_lost, 0),
        *stage.once(),
        await stage.count_leaks(),
    ]


async def _slipped_while_drained(stage: Stage, stream: _Stream, name: str) -> int:
    await stage.survey.set_draining(name, draining=True)
    drained_at = time.monotonic()
    await becomes(lambda: stream.since(drained_at) >= stage.amount.pick(40, 8), PATIENCE_S)
    return stream.since(drained_at, name)


async def _end(stage: Stage, stream: _Stream, guests: list[Driver], name: str) -> list[Check]:
    """Ask a worker to end while its clients step on, and see that it waits for them and no longer."""
    told_at = time.monotonic()
    ending = asyncio.create_task(stage.do(stage.cluster.terminate_worker, DRAINED))
    await becomes(lambda: stream.since(told_at) >= stage.amount.pick(40, 8), PATIENCE_S)
    goes_on = await played_on(guests, timeout_s=PATIENCE_S)
    waited = not ending.done()
    settled_at = time.monotonic()
    for driver in guests:
        driver.leave()
    await becomes(lambda: all(driver.env is None for driver in guests), PATIENCE_S)
    status = await ending
    slipped = stream.since(told_at + 1.0, name)
    return [
        goes_on.model_copy(update={"what": "its clients step on after SIGTERM"}),
        equal("waits for them", int(waited), 1),
        equal("creates that slipped onto the ending worker", slipped, 0),
        at_most("ends after its last environment", time.monotonic() - settled_at, END_S, "s"),
        equal("exit status", status, 0),
    ]
