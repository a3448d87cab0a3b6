"""RabbitMQ in place of Redis: creates, the line, a killed worker, what the dashboard shows, a broker that restarts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

import httpx
import pytest

from tests.acceptance.conftest import Place
from tests.chaos.conftest import SLOWER, Chaos
from tests.deploy.rabbit import Rabbit
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs("rabbitmq-server", "epmd")]


@pytest.fixture
def rabbit(place: Place) -> Iterator[Rabbit]:
    broker = Rabbit(place)
    try:
        broker.start()
        yield broker
    finally:
        broker.end()


@pytest.fixture
def cluster(place: Place, rabbit: Rabbit) -> Iterator[Chaos]:
    cluster = Chaos(place, *SLOWER, "--broker-url", rabbit.url, workers=2, max_envs=1)
    cluster.start()
    yield cluster
    cluster.stop()


def created(asked: Future[httpx.Response]) -> str:
    reply = asked.result(60)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["worker_id"])


def test_rabbitmq_carries_creates_as_redis_does(cluster: Chaos, rabbit: Rabbit) -> None:
    on_the_killed = cluster.creating_on_hung("worker-1", "e1")
    cluster.fleet.workers[0].kill()
    assert created(on_the_killed) == "worker-2"
    cluster.call("POST", "/envs/e1/reset", json={})

    waiting = cluster.creating("e2")
    wait_until(lambda: cluster.queued() == ["e2"])
    cluster.call("POST", "/envs/e1/close")
    assert created(waiting) == "worker-2"
    cluster.call("POST", "/envs/e2/reset", json={})
    shown_to_operators(cluster)

    rabbit.stop()
    after = cluster.creating("e3")
    wait_until(lambda: not broker_of(cluster)["ok"], 15)
    assert cluster.call("POST", "/envs/e2/step", json={"actions": []}, within_s=5).status_code == 200
    cluster.call("POST", "/envs/e2/close")
    rabbit.start()
    assert created(after) == "worker-2"


def broker_of(cluster: Chaos) -> dict[str, object]:
    return dict(cluster.call("GET", "/api/broker").json())


def lengths(cluster: Chaos) -> dict[str, int | None]:
    """Return how many messages wait in each worker's queues, as the dashboard shows them."""
    queues = cluster.call("GET", "/api/broker").json()["queues"]
    return {queue["name"]: queue["length"] for queue in queues}


def shown_to_operators(cluster: Chaos) -> None:
    """What comes from the broker is there: its kind without its password, the live worker's queue, its tasks."""
    broker = broker_of(cluster)
    assert (broker["ok"], broker["kind"]) == (True, "amqp")
    assert "secret" not in str(broker["url"])
    assert lengths(cluster)["env.fake.worker-2"] == 0
    wait_until(lambda: "SUCCESS" in {task["state"] for task in tasks(cluster)})


def tasks(cluster: Chaos) -> list[dict[str, object]]:
    return list(cluster.call("GET", "/api/tasks").json()["latest"])
