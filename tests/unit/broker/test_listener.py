from __future__ import annotations

import queue
from typing import Any

import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.replies import ReplyListener


def reply(task_id: str) -> dict[str, Any]:
    return {"task_id": task_id, "status": "SUCCESS", "result": 1, "traceback": None}


def test_what_ends_a_listeners_wait_is_no_reply() -> None:
    app = make_app("memory://", name="woken")
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    first = ReplyListener(app, "m1", lambda task_id, *_: seen.put(task_id))
    first.wake()
    listeners = first, ReplyListener(app, "m1", lambda task_id, *_: seen.put(task_id))
    for number, listener in enumerate(listeners):
        listener.start()
        with app.connection_for_write() as connection, connection.Producer() as producer:
            producer.publish(
                reply(f"e{number}"), exchange="", routing_key=listener.queue_name, serializer="json"
            )
        assert seen.get(timeout=10) == f"e{number}"
        listener.stop()
        assert (listener.dropped, listener.outages) == (0, 0)
    assert seen.empty()


@pytest.mark.parametrize(
    ("bad", "content_type"),
    [
        ({"no": "task"}, "application/json"),
        (b"x", "application/x-python-serialize"),
        (b"{", "application/json"),
    ],
)
def test_a_bad_message_is_counted_and_the_next_one_still_comes(bad: object, content_type: str) -> None:
    app = make_app("memory://", name="t")
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    listener = ReplyListener(app, "m1", lambda task_id, *_: seen.put(task_id))
    with app.connection_for_write() as connection, connection.Producer() as producer:
        raw: dict[str, Any] = {"serializer": "json"}
        if isinstance(bad, bytes):
            raw = {"content_type": content_type, "content_encoding": "utf-8"}
        producer.publish(bad, exchange="", routing_key=listener.queue_name, **raw)
        producer.publish(reply("e1"), exchange="", routing_key=listener.queue_name, serializer="json")
        listener.start()
        assert seen.get(timeout=10) == "e1"
    listener.stop()
    assert listener.dropped == 1
    assert listener.outages == 0
