"""Nothing in a dead worker's queue ever runs, whenever the broker can be told."""

from __future__ import annotations

import asyncio

import celery

from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.broker.queues import queue_length
from gym_queue.broker.sender import Sender
from gym_queue.master.deadqueues import DeadQueues

QUEUES = ("env.local.w1", "env.local.w2")


async def fill(sender: Sender) -> None:
    for queue in QUEUES:
        await sender.send("test.echo", {}, task_id="e1", queue=queue, reply_to="r")


async def threads_done() -> None:
    await asyncio.get_running_loop().shutdown_default_executor()
    await asyncio.sleep(0)


def test_queues_are_deleted_but_for_those_of_workers_that_came_back(
    app: celery.Celery, sender: Sender
) -> None:
    async def test() -> None:
        await fill(sender)
        DeadQueues(app, lambda: frozenset({"env.local.w2"})).delete(QUEUES)
        await threads_done()

    asyncio.run(test())
    assert [queue_length(app, queue) for queue in QUEUES] == [0, 1]


def test_queues_that_stayed_are_deleted_once_the_broker_is_back(
    app: celery.Celery, sender: Sender, broker: EmbeddedBroker
) -> None:
    dead = DeadQueues(app, frozenset)

    async def lose() -> None:
        dead.delete(QUEUES)
        await threads_done()

    async def try_again() -> None:
        await fill(sender)
        dead.again()
        await threads_done()

    broker.stop()
    asyncio.run(lose())
    broker.start()
    asyncio.run(try_again())
    assert [queue_length(app, queue) for queue in QUEUES] == [0, 0]
