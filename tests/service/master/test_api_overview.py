"""The overview and the last hour, as a real master answers them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from gym_queue import RemoteGymEnv
from gym_queue.testing import Fleet, FleetSetup
from tests.service.master.guarded import guarded_master
from tests.waiting import wait_until


def overview(http):
    reply = http.get("/api/overview")
    assert reply.status_code == 200
    return reply.json()


def test_a_fleet_without_anything_has_an_overview_too(master):
    seen = overview(master.http)
    assert seen["workers"] == {"total": 0, "healthy": 0, "unhealthy": 0, "dead": 0, "draining": 0}
    assert seen["envs"] == {"queued": 0, "creating": 0, "ready": 0, "closing": 0}
    assert seen["queue"] == {"length": 0, "oldest_s": None}
    assert seen["latency"]["step"] == {"count": 0, "p50_ms": None, "p95_ms": None, "p99_ms": None}
    assert abs(seen["as_of"] - time.time()) < 60


def test_environments_are_counted_by_state_and_creates_timed(master, worker):
    worker.register(master.http, max_envs=2)
    assert master.create("e1").status_code == 201
    worker.gate.clear()
    creating = master.creating("e2")
    wait_until(lambda: overview(master.http)["envs"]["creating"] == 1)
    waiting = master.creating("e3")
    wait_until(lambda: overview(master.http)["envs"]["queued"] == 1)
    seen = overview(master.http)
    assert (seen["slots"], seen["queue"]["length"]) == ({"total": 2, "used": 2}, 1)
    assert seen["queue"]["oldest_s"] >= 0
    assert seen["latency"]["create"]["count"] == 1
    worker.gate.set()
    assert creating.result().status_code == 201
    assert master.http.post("/envs/e1/close").status_code == 200
    assert waiting.result().status_code == 201
    totals = overview(master.http)["totals"]
    assert (totals["created"], totals["closed"], totals["lost"], totals["failed"]) == (3, 1, 0, 0)


def test_what_is_lost_and_what_fails_is_counted(master, worker):
    worker.register(master.http)
    assert master.create("e1").status_code == 201
    assert master.create("e2", queue_timeout_s=0).status_code == 503
    master.http.post("/workers/deregister", json={"worker_id": "w1"})
    totals = overview(master.http)["totals"]
    assert (totals["lost"], totals["failed"]) == (1, 1)


def test_a_broker_that_is_away_is_told_first(master):
    wait_until(lambda: overview(master.http)["broker"]["error"])
    seen = overview(master.http)
    assert (seen["broker"]["ok"], seen["broker"]["kind"]) == (False, "redis")
    assert seen["attention"][0]["kind"] == "broker_down"


def test_steps_count_whether_they_go_by_the_master_or_straight_to_the_worker(tmp_path):
    spec = {
        "id": "null",
        "runner": "fake",
        "observation": [{"type": "cli_stdout"}],
        "action": [{"type": "keyboard"}],
    }
    setup = FleetSetup(
        workers=1,
        worker_arguments=("--runners", "fake", "--heartbeat-interval", "0.1"),
        master_arguments=("--no-auth",),
    )
    with Fleet(setup) as fleet, httpx.Client(base_url=fleet.url, timeout=30) as http:
        for route in ("master", "worker"):
            with RemoteGymEnv(fleet.url, env_spec=spec, route=route) as env:
                env.reset()
                for _ in range(3):
                    env.step([{"keyboard": {"keys": "a"}}], wait_between_actions=0)
        wait_until(lambda: overview(http)["totals"]["steps"] == 6)
        seen = overview(http)
        assert (seen["latency"]["step"]["count"], seen["latency"]["reset"]["count"]) == (6, 2)
        assert seen["totals"]["errors"] == 0


def test_the_history_has_columns_of_one_length(master):
    found = master.http.get("/api/history").json()
    assert found["step_s"] == 10
    assert {"at", "queued", "ready", "slots", "used", "workers", "steps_per_s", "step_p95_ms"} <= set(
        found["series"]
    )
    assert len({len(column) for column in found["series"].values()}) == 1


def test_who_asks_is_told_what_it_may(loop, tmp_path):
    with guarded_master(loop, tmp_path) as guarded:
        guarded.name("ann")
        said = {who: guarded.by(who).get("/api/me").json() for who in ("cluster", "worker", "metrics", "ann")}
        assert {who: (each["role"], each["name"], each["may_act"]) for who, each in said.items()} == {
            "cluster": ("cluster", None, True),
            "worker": ("worker", None, False),
            "metrics": ("metrics", None, False),
            "ann": ("client", "ann", False),
        }
        assert guarded.by("none").get("/api/me").status_code == 401


def test_what_shows_the_fleet_is_the_operators(loop, tmp_path):
    with guarded_master(loop, tmp_path) as guarded:
        guarded.name("ann")
        for path in ("overview", "history", "workers", "envs", "queue", "masters"):
            asked = {
                who: guarded.by(who).get(f"/api/{path}").status_code for who in ("cluster", "ann", "none")
            }
            assert asked == {"cluster": 200, "ann": 403, "none": 401}, path


def test_a_master_names_itself(master):
    (found,) = master.http.get("/api/masters").json()
    assert found["name"].endswith(f":{master.http.base_url.port}")
    assert (found["url"], found["base"]) == ("", "")


def test_many_may_ask_at_once(master):
    with ThreadPoolExecutor(8) as threads:
        assert {
            each.status_code for each in threads.map(lambda _: master.http.get("/api/overview"), range(50))
        } == {200}
