from __future__ import annotations

import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import celery
import pytest

from gym_queue.broker.app import make_app
from gym_queue.broker.embedded import EmbeddedBroker, Kind
from gym_queue.broker.events import EventListener
from gym_queue.broker.replies import ReplyListener
from gym_queue.broker.sender import Sender

QUEUE = "env.local.w1"
WAIT_S = 30.0


class Recorder:
    """Keeps what a listener hands on, and lets a test wait for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []
        self._new: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def __call__(self, *what: Any) -> None:
        self._new.put(what)

    def wait(self, wanted: Callable[[tuple[Any, ...]], bool]) -> tuple[Any, ...]:
        while True:
            what = self._new.get(timeout=WAIT_S)
            self.seen.append(what)
            if wanted(what):
                return what

    def final(self, task_id: str) -> tuple[Any, ...]:
        return self.wait(lambda reply: reply[0] == task_id and reply[1] != "STARTED")


@pytest.fixture(params=[pytest.param("redis", marks=pytest.mark.needs("redis-server")), "fake"])
def kind(request: pytest.FixtureRequest) -> Kind:
    return cast(Kind, request.param)


@pytest.fixture
def broker(kind: Kind, tmp_path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(tmp_path, kind=kind)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def app(broker: EmbeddedBroker) -> Iterator[celery.Celery]:
    app = make_app(broker.url, name="test-master")
    yield app
    app.close()


@pytest.fixture
def sender(app: celery.Celery) -> Iterator[Sender]:
    sender = Sender(app)
    yield sender
    sender.close()


@pytest.fixture
def replies(app: celery.Celery) -> Iterator[Recorder]:
    recorder = Recorder()
    listener = ReplyListener(app, "m1", recorder)
    listener.start()
    yield recorder
    listener.stop()
    assert listener.dropped == 0
    assert not [thread for thread in threading.enumerate() if thread.name == "gym-queue-replies"]


@pytest.fixture
def events(app: celery.Celery) -> Iterator[Recorder]:
    recorder = Recorder()
    listener = EventListener(app, recorder)
    listener.start()
    assert listener.wait_until_consuming(WAIT_S)
    yield recorder
    listener.stop()
    assert listener.dropped == 0


@pytest.fixture
def worker(broker: EmbeddedBroker) -> Iterator[None]:
    command = [sys.executable, "-m", "tests.service.broker.worker_program", broker.url, QUEUE]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.terminate()
        assert process.wait(WAIT_S) == 0
