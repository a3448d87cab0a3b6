"""Workers that die, hang or refuse: their environments are lost at once, their creates go elsewhere."""

from __future__ import annotations

import time

import pytest

from tests.chaos.conftest import SLOWER, Chaos
from tests.waiting import wait_until

pytestmark = pytest.mark.chaos

LATE_HEARTBEATS = ("--heartbeat", "30")
"""So that nothing but refused connections and Celery's words tell of a death."""


def test_calls_to_a_killed_worker_are_410_within_2_s(chaos):
    cluster: Chaos = chaos(*LATE_HEARTBEATS)
    cluster.create("e1")
    cluster.worker("worker-1").process.kill()
    start = time.monotonic()
    assert cluster.call("POST", "/envs/e1/step", json={}, within_s=10).status_code == 410
    assert time.monotonic() - start < 2
    assert cluster.status("worker-1") == "dead"


def test_a_create_on_its_way_to_a_killed_worker_is_done_by_another_within_5_s(chaos):
    cluster: Chaos = chaos(*LATE_HEARTBEATS, workers=2)
    asked = cluster.creating_on_hung("worker-1", "e1")
    cluster.worker("worker-1").process.kill()
    start = time.monotonic()
    assert asked.result(20).json()["worker_id"] == "worker-2"
    assert time.monotonic() - start < 5
    assert cluster.call("POST", "/envs/e1/reset", json={}).status_code == 200


def test_a_create_on_a_hung_worker_is_done_by_another_and_the_late_one_is_closed(chaos):
    cluster: Chaos = chaos(*SLOWER, workers=2)
    asked = cluster.creating_on_hung("worker-1", "e1")
    assert asked.result(40).json()["worker_id"] == "worker-2"
    cluster.resume_worker("worker-1")
    wait_until(lambda: "closing environment e1 on worker worker-1" in cluster.log_text(), 20)
    url = cluster.fleet.worker_urls[0]
    wait_until(lambda: cluster.http.get(f"{url}/envs/list").json()["environments"] == {}, 20)
    assert cluster.call("POST", "/envs/e1/reset", json={}).status_code == 200
    assert cluster.show("e1")["worker_id"] == "worker-2"


def test_a_hung_worker_gets_nothing_new_within_3_heartbeats_and_keeps_its_environments(chaos):
    cluster: Chaos = chaos("--heartbeat", "1")
    cluster.create("e1")
    cluster.stop_worker("worker-1")
    start = time.monotonic()
    wait_until(lambda: cluster.status("worker-1") == "unhealthy")
    assert time.monotonic() - start < 3 * 1.0 + 1.0  # and the second that asking it takes
    cluster.resume_worker("worker-1")
    wait_until(lambda: cluster.status("worker-1") == "healthy")
    assert cluster.call("POST", "/envs/e1/reset", json={}).status_code == 200


def test_a_request_that_no_worker_ever_could_take_is_422_and_503_once_one_was_seen(chaos):
    cluster: Chaos = chaos()
    docker = {"env_id": "e1", "env_dir": "x", "runner": "docker"}
    refused = cluster.http.post("/envs/create", json=docker)
    assert (refused.status_code, refused.json()["code"]) == (422, "not_supported")
    seen = {
        "worker_id": "d1",
        "url": "http://127.0.0.1:9",
        "metadata": {"available_runners": ["docker"], "pid": 1},
    }
    cluster.http.post("/workers/register", json=seen)
    cluster.http.post("/workers/deregister", json={"worker_id": "d1"})
    refused = cluster.http.post("/envs/create", json=docker)
    assert (refused.status_code, refused.json()["code"]) == (503, "no_capacity")


def test_with_wait_for_workers_such_a_request_waits_for_one(chaos):
    cluster: Chaos = chaos("--wait-for-workers", workers=0)
    asked = cluster.creating("e1")
    wait_until(lambda: cluster.queued() == ["e1"])
    cluster.fleet.add_worker().wait_ready()
    assert asked.result(20).status_code == 201
