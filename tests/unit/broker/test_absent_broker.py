from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Iterator

import celery
import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.queues import delete_queue, queue_length
from gym_queue.broker.replies import ReplyListener
from gym_queue.broker.sender import Sender
from gym_queue.errors import BrokerUnavailable


@pytest.fixture
def place() -> Iterator[str]:
    """A port where nothing listens, and that no other program gets meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def app(place: str) -> celery.Celery:
    return make_app(f"redis://:secret@{place}/0", name="t")


def test_a_send_fails_in_time_naming_the_host_and_no_password(app: celery.Celery, place: str) -> None:
    sender = Sender(app, timeout_s=0.5)
    with pytest.raises(BrokerUnavailable, match=place) as caught:
        asyncio.run(sender.send("t", {}, task_id="e1", queue="q", reply_to="r"))
    sender.close()
    assert "secret" not in str(caught.value)


def test_queue_calls_fail_naming_the_host_and_no_password(app: celery.Celery, place: str) -> None:
    for call in (queue_length, delete_queue):
        with pytest.raises(BrokerUnavailable, match=place) as caught:
            call(app, "q")
        assert "secret" not in str(caught.value)


def test_a_listener_says_once_that_the_broker_is_away_and_stops(
    app: celery.Celery, caplog: pytest.LogCaptureFixture
) -> None:
    listener = ReplyListener(app, "m1", lambda *_: None)
    with caplog.at_level(logging.WARNING, "gym_queue"):
        listener.start()
        assert not listener.wait_until_consuming(0.8)
        listener.stop()
    assert listener.outages == 1
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text
