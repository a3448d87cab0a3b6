from __future__ import annotations

import asyncio

import celery
import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.lengths import queue_lengths
from gym_queue.broker.sender import Sender
from gym_queue.errors import BrokerUnavailable


def test_lengths_of_many_queues_are_told_at_once(app: celery.Celery, sender: Sender) -> None:
    async def send() -> None:
        for task_id, queue in (("a", "env.x.1"), ("b", "env.x.1"), ("c", "env.x.2")):
            await sender.send("test.echo", {}, task_id=task_id, queue=queue, reply_to="r")

    asyncio.run(send())
    lengths = queue_lengths(app, ["env.x.1", "env.x.2", "env.x.none"], timeout_s=3)
    assert lengths == {"env.x.1": 2, "env.x.2": 1, "env.x.none": 0}
    assert queue_lengths(app, [], timeout_s=3) == {}


@pytest.mark.parametrize("url", ["redis://:secret@127.0.0.1:1/0", "amqp://user:secret@127.0.0.1:1//"])
def test_a_broker_that_is_away_is_named_without_its_password(url: str) -> None:
    app = make_app(url, name="test-master")
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1") as caught:
        queue_lengths(app, ["q"], timeout_s=3)
    assert "secret" not in str(caught.value)
    app.close()


def test_a_broker_that_knows_queues_alone_is_asked_for_each_until_the_deadline() -> None:
    app = make_app("memory://", name="test-master")
    assert queue_lengths(app, ["q1", "q2"], timeout_s=3) == {"q1": 0, "q2": 0}
    assert queue_lengths(app, ["q1", "q2"], timeout_s=0) == {"q1": None, "q2": None}
    app.close()
