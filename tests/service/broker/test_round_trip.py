from __future__ import annotations

import asyncio
from typing import Any

import celery

from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.broker.queues import delete_queue, delete_queues, queue_length
from gym_queue.broker.sender import Sender
from tests.service.broker.conftest import QUEUE, Recorder

REPLIES = "gym_queue.replies.m1"


def send(sender: Sender, task_id: str, name: str = "test.echo", **kwargs: object) -> None:
    asyncio.run(sender.send(name, kwargs, task_id=task_id, queue=QUEUE, reply_to=REPLIES))


def test_a_task_reports_started_and_then_its_result(sender: Sender, replies: Recorder, worker: None) -> None:
    send(sender, "e1", value={"a": [1]})
    assert replies.final("e1") == ("e1", "SUCCESS", {"a": [1]}, None)
    assert [reply[:2] for reply in replies.seen] == [("e1", "STARTED"), ("e1", "SUCCESS")]


def test_a_failed_task_reports_its_exception_and_traceback(
    sender: Sender, replies: Recorder, worker: None
) -> None:
    send(sender, "e1", "test.fail", reason="no slot")
    _, status, result, traceback = replies.final("e1")
    assert (status, result["exc_type"], result["exc_message"]) == ("FAILURE", "ValueError", ["no slot"])
    assert "raise ValueError(reason)" in traceback


def test_a_tasks_life_is_seen_as_events(sender: Sender, events: Recorder, worker: None) -> None:
    send(sender, "e1", value=1)
    wanted = {"task-sent", "task-received", "task-started", "task-succeeded"}
    seen: set[str] = set()
    while not wanted <= seen:
        (event,) = events.wait(lambda what: what[0].get("uuid") == "e1")
        seen.add(event["type"])


def test_results_come_again_after_the_broker_was_restarted(
    broker: EmbeddedBroker, sender: Sender, replies: Recorder, events: Recorder, worker: None
) -> None:
    send(sender, "e1", value=1)
    replies.final("e1")
    url = broker.url
    broker.stop()
    assert broker.start() == url
    send(sender, "e2", value=2)
    assert replies.final("e2")[1:3] == ("SUCCESS", 2)
    events.wait(lambda what: what[0].get("uuid") == "e2" or what[0]["type"].startswith("worker-"))


def test_waiting_tasks_are_counted_and_go_with_their_queue(app: celery.Celery, sender: Sender) -> None:
    send(sender, "e1", value=1)
    send(sender, "e2", value=2)
    assert queue_length(app, QUEUE) == 2
    assert delete_queue(app, QUEUE) == 2
    assert queue_length(app, QUEUE) == 0


def test_a_queue_that_does_not_exist_is_empty_and_can_be_deleted(app: celery.Celery) -> None:
    assert queue_length(app, "env.local.never") == 0
    assert delete_queues(app, ["env.local.never", "env.any.never"]) == 0


def test_nothing_but_the_tasks_queue_is_left_at_the_broker(app: celery.Celery, sender: Sender) -> None:
    send(sender, "e1", value=1)
    delete_queue(app, QUEUE)
    with app.connection_for_read() as connection:
        channel: Any = connection.default_channel
        keys = channel.client.keys("*")
    assert keys == []
