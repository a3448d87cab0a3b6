"""Celery carries every create: seen in the worker's log and in Celery's own event stream."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from celery.events import EventReceiver

from gym_queue.broker.app import make_app
from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.client import RemoteGymEnv
from gym_queue.errors import SpecNotFound
from tests.acceptance.conftest import fleet_at, wait_until


class Events:
    """Celery's event stream, captured by celery.events itself."""

    def __init__(self, url: str) -> None:
        self.seen: list[dict[str, Any]] = []
        self._app = make_app(url, name="test.events")
        self._stop = threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._capture)

    def __enter__(self):
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self._app.close()

    def of(self, task_id: str) -> dict[str, dict[str, Any]]:
        return {event["type"]: event for event in self.seen if event.get("uuid") == task_id}

    def _capture(self) -> None:
        with self._app.connection_for_read() as connection:
            receiver: Any = EventReceiver(connection, handlers={"*": self.seen.append}, app=self._app)
            with receiver.consumer_context() as (own, _channel, _consumers):
                self._up.set()
                while not self._stop.is_set():
                    try:
                        own.drain_events(timeout=0.2)
                    except TimeoutError:
                        continue


@pytest.fixture(params=["fake", pytest.param("redis", marks=pytest.mark.needs("redis-server"))])
def broker_url(request, place):
    broker = EmbeddedBroker(place.folder, kind=request.param)
    yield broker.start()
    broker.stop()


def test_a_create_is_a_celery_task_whose_id_is_the_env_id(place, broker_url):
    env_id = str(uuid.uuid4())
    with (
        Events(broker_url) as events,
        fleet_at(place, workers=1, master_arguments=("--broker-url", broker_url)) as fleet,
    ):
        with RemoteGymEnv.from_config(fleet.url, "terminal_env", "largest_file", env_id=env_id) as env:
            assert env.env_id == env_id
        wait_until(lambda: "task-succeeded" in events.of(env_id))
        told = events.of(env_id)
        assert {"task-sent", "task-received", "task-started", "task-succeeded"} <= set(told)
        assert told["task-received"]["name"] == "gym_queue.create_env"
        assert told["task-sent"]["queue"] == "env.local.worker-1"
        assert told["task-received"]["hostname"] == "gym@worker-1"
        line = f"task gym_queue.create_env id={env_id} queue=env.local.worker-1"
        assert line in fleet.log_text()


def test_a_failing_create_is_a_failed_task_and_a_typed_error(place, broker_url):
    env_id = str(uuid.uuid4())
    with (
        Events(broker_url) as events,
        fleet_at(place, workers=1, master_arguments=("--broker-url", broker_url)) as fleet,
    ):
        with pytest.raises(SpecNotFound, match="no_such_env"):
            RemoteGymEnv(fleet.url, env_dir="no_such_env", env_id=env_id)
        wait_until(lambda: "task-failed" in events.of(env_id))
        assert "SpecNotFound" in events.of(env_id)["task-failed"]["exception"]
