"""A broker that stops, dies or comes back: calls go on, creates wait."""

from __future__ import annotations

import signal

import psutil
import pytest

from gym_queue.broker.embedded import EmbeddedBroker
from tests.chaos.conftest import SLOWER, Chaos
from tests.waiting import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.needs("redis-server")]


def redis_of(cluster: Chaos) -> psutil.Process:
    found = cluster.redis()
    assert found is not None
    return found


def why_not(cluster: Chaos, env_id: str) -> dict[str, str]:
    found: dict[str, str] = cluster.show(env_id).get("why_not", {})
    return found


def step(cluster: Chaos, env_id: str) -> int:
    reply = cluster.call("POST", f"/envs/{env_id}/step", json={"actions": []}, within_s=5)
    return int(reply.json()["info"]["step"])


def test_while_redis_hangs_steps_go_on_and_creates_wait(chaos):
    cluster: Chaos = chaos()
    cluster.create("e1")
    cluster.call("POST", "/envs/e1/reset", json={})
    redis = redis_of(cluster)
    redis.send_signal(signal.SIGSTOP)
    asked = cluster.creating("e2")
    assert [step(cluster, "e1") for _ in range(5)] == [0, 1, 2, 3, 4]
    wait_until(lambda: "broker" in why_not(cluster, "e2"), 15)
    redis.send_signal(signal.SIGCONT)
    assert asked.result(40).status_code == 201


def test_a_redis_that_was_killed_and_comes_back_loses_no_create(chaos):
    cluster: Chaos = chaos(*SLOWER)
    cluster.create("e1")
    cluster.call("POST", "/envs/e1/reset", json={})
    on_its_way = cluster.creating_on_hung("worker-1", "e2")
    redis = redis_of(cluster)
    redis.kill()
    wait_until(lambda: redis.status() == psutil.STATUS_ZOMBIE or not redis.is_running())
    cluster.resume_worker("worker-1")
    queued = cluster.creating("e3")
    wait_until(lambda: "broker" in why_not(cluster, "e3"), 15)
    assert step(cluster, "e1") == 0
    broker = EmbeddedBroker(cluster.state_dir, "127.0.0.1")
    broker.start()
    try:
        assert queued.result(40).status_code == 201
        assert on_its_way.result(40).status_code == 201
    finally:
        cluster.stop()
        broker.stop()
