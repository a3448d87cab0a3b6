"""A master that is killed and started again goes on from where it was."""

from __future__ import annotations

import threading

import pytest

from tests.chaos.conftest import SLOWER, Chaos
from tests.waiting import wait_until

pytestmark = pytest.mark.chaos


def test_environments_survive_and_are_there_at_once(chaos):
    cluster: Chaos = chaos()
    first = cluster.create("e1").json()
    assert cluster.call("POST", "/envs/e1/reset", json={}).status_code == 200
    cluster.settle()
    cluster.kill_master()
    cluster.start_master()
    seen = cluster.show("e1")
    assert (seen["state"], seen["worker_id"]) == ("ready", "worker-1")
    assert cluster.call("POST", "/envs/e1/step", json={"actions": []}).json()["info"]["step"] == 0
    assert cluster.create("e1").json()["env_token"] == first["env_token"]
    assert cluster.call("POST", "/envs/e1/close").status_code == 200
    assert cluster.show("e1")["state"] == "closed"


def test_clients_that_step_notice_nothing_but_a_pause(chaos):
    cluster: Chaos = chaos()
    for env_id in ("e0", "e1", "e2", "e3"):
        cluster.create(env_id)
        cluster.call("POST", f"/envs/{env_id}/reset", json={})
    is_over = threading.Event()

    def step_for_ever(env_id: str) -> list[int]:
        seen: list[int] = []
        while not is_over.is_set():
            reply = cluster.call("POST", f"/envs/{env_id}/step", json={"actions": []})
            seen.append(reply.json()["info"]["step"])
        return seen

    stepping = [cluster.threads.submit(step_for_ever, f"e{number}") for number in range(4)]
    for _ in range(3):
        cluster.kill_master()
        cluster.start_master()
        cluster.call("POST", "/envs/e0/capture_observation")
    is_over.set()
    for steps in [future.result(30) for future in stepping]:
        assert steps == list(range(len(steps)))
    assert cluster.call("GET", "/envs/list").json()["total"] == 4


def test_without_a_redis_server_the_state_is_in_a_file(chaos, place, monkeypatch):
    monkeypatch.setenv("PATH", str(place.folder / "empty"))
    cluster: Chaos = chaos(max_envs=1)
    cluster.create("e0")
    waits = cluster.creating("e1")
    wait_until(lambda: cluster.queued() == ["e1"])
    cluster.settle()
    cluster.kill_master()
    cluster.start_master()
    assert cluster.show("e0")["state"] == "ready"
    assert cluster.queued() == ["e1"]
    cluster.call("POST", "/envs/e0/close")
    assert waits.result(30).status_code == 201
    assert (cluster.state_dir / "state.sqlite3").stat().st_mode & 0o77 == 0


def test_waiting_creates_keep_their_places(chaos):
    cluster: Chaos = chaos(max_envs=1)
    cluster.create("e0")
    waiting = {}
    for env_id, priority in (("e1", 0), ("e2", 0), ("e3", 5)):
        waiting[env_id] = cluster.creating(env_id, priority=priority)
        wait_until(lambda: len(cluster.queued()) == len(waiting))
    cluster.settle()
    cluster.kill_master()
    cluster.start_master()
    assert cluster.queued() == ["e3", "e1", "e2"]
    for last, env_id in (("e0", "e3"), ("e3", "e1"), ("e1", "e2")):
        cluster.call("POST", f"/envs/{last}/close")
        assert waiting[env_id].result(20).status_code == 201


def test_a_create_on_its_way_is_answered_with_the_environment_that_it_opened(chaos):
    cluster: Chaos = chaos(*SLOWER, max_envs=1)
    asked = cluster.creating_on_hung("worker-1", "e1")
    cluster.settle()
    cluster.kill_master()
    cluster.start_master()
    assert cluster.show("e1")["state"] == "creating"
    cluster.resume_worker("worker-1")
    assert asked.result(20).json()["worker_id"] == "worker-1"
    assert cluster.call("GET", "/envs/list").json()["total"] == 1
    assert cluster.call("POST", "/envs/e1/reset", json={}).status_code == 200


def test_a_closed_environment_stays_closed_and_a_drained_worker_drained(chaos):
    cluster: Chaos = chaos()
    cluster.create("e1")
    cluster.call("POST", "/envs/e1/close")
    cluster.call("POST", "/workers/drain", json={"worker_id": "worker-1"})
    cluster.kill_master()
    cluster.start_master()
    assert cluster.show("e1")["state"] == "closed"
    assert cluster.status("worker-1") == "draining"


def test_an_orderly_restart_keeps_everything_too(chaos):
    cluster: Chaos = chaos(max_envs=1)
    cluster.create("e0")
    waits = cluster.creating("e1")
    wait_until(lambda: cluster.queued() == ["e1"])
    cluster.end_master()
    cluster.start_master()
    assert cluster.show("e0")["state"] == "ready"
    cluster.call("POST", "/envs/e0/close")
    assert waits.result(20).status_code == 201


def test_a_fresh_start_knows_nothing_until_its_workers_speak(chaos):
    cluster: Chaos = chaos()
    cluster.create("e1")
    cluster.call("POST", "/envs/e1/close")
    cluster.kill_master()
    cluster.start_master("--fresh")
    assert cluster.call("GET", "/envs/e1").status_code == 404
    wait_until(lambda: cluster.status("worker-1") == "healthy")


def test_an_environment_whose_worker_died_with_the_master_is_lost_at_once(chaos):
    cluster: Chaos = chaos()
    cluster.create("e1")
    cluster.settle()
    cluster.kill_master()
    cluster.worker("worker-1").process.kill()
    cluster.start_master()
    assert cluster.call("POST", "/envs/e1/step", json={}, within_s=5).status_code == 410
