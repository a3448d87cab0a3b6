"""The first task of a queue, sent while the broker is away."""

from __future__ import annotations

import asyncio

import celery

from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.broker.queues import queue_length
from gym_queue.broker.sender import THREADS, Sender


async def send_to(sender: Sender, queue: str) -> None:
    """Send a task by each of the sender's connections."""
    sends = (
        sender.send("test.echo", {}, task_id=f"{queue}-{number}", queue=queue, reply_to="replies")
        for number in range(THREADS)
    )
    await asyncio.gather(*sends)


def test_it_is_taken_once_the_broker_is_back(
    broker: EmbeddedBroker, app: celery.Celery, sender: Sender
) -> None:
    async def meanwhile() -> None:
        await asyncio.gather(send_to(sender, "env.fake.w2"), asyncio.to_thread(broker.start))

    asyncio.run(send_to(sender, "env.fake.w1"))
    broker.stop()
    asyncio.run(meanwhile())
    assert queue_length(app, "env.fake.w2") == THREADS
