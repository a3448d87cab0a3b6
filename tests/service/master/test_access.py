"""Who may call what: every call of the wire, by every kind of caller."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from gym_queue.web.rotation import RotatingToken
from tests.service.master.guarded import CLUSTER, guarded_master
from tests.waiting import wait_until

REFUSED = (401, 403)
WORKERS_WORDS = frozenset(
    f"POST /workers/{call}" for call in ("register", "heartbeat", "deregister", "drain")
)
OPERATORS = frozenset(
    {"POST /workers/undrain", "GET /workers/list", "GET /api/metrics", "GET /api/tasks", "GET /no/such/call"}
)
CLIENTS = frozenset({"POST /envs/create", "GET /envs/list", "GET /queue"})
POSTS = (
    *(
        "reset",
        "step",
        "capture_observation",
        "trajectory_event",
        "episode_limits",
        "save_state",
        "load_state",
    ),
    *("pause_recording", "resume_recording", "copy_to_env", "copy_from_env", "keepalive"),
)
GETS = (
    *("fetch_path?path=x", "episode_dir", "session_info", "files?path=x", "no_such_call"),
    *("screen", "calls", "trajectory", "artifacts"),
)


def opens(http, call):
    return http.get(call).status_code == 200


def calls_of(env_id):
    return frozenset(
        {
            *(f"POST /envs/{env_id}/{call}" for call in POSTS),
            *(f"GET /envs/{env_id}/{call}" for call in GETS),
            f"PUT /envs/{env_id}/files?path=x",
            f"GET /envs/{env_id}",
            *(f"{call} /api/envs/{env_id}/hand" for call in ("GET", "POST")),
            f"POST /api/envs/{env_id}/hand/next",
        }
    )


ANNS, BOBS, OPERATORS_ENV, NOBODYS = (calls_of(name) for name in ("anns", "bobs", "operators", "nobodys"))
ENVS = ANNS | BOBS | OPERATORS_ENV | NOBODYS
ANYBODYS = frozenset({"GET /openapi.json"})
METRICS = frozenset({"GET /metrics"})
OPEN = frozenset({"GET /health"})
EVERY = WORKERS_WORDS | OPERATORS | CLIENTS | ENVS | ANYBODYS | METRICS | OPEN
MAY = {
    "cluster": EVERY,
    "worker": OPEN | ANYBODYS | WORKERS_WORDS,
    "metrics": OPEN | METRICS,
    "ann": OPEN | ANYBODYS | CLIENTS | ANNS | NOBODYS,
    "bob": OPEN | ANYBODYS | CLIENTS | BOBS | NOBODYS,
    "env token": OPEN,
    "expired": OPEN,
    "revoked": OPEN,
    "none": OPEN,
}


@pytest.fixture
def master(loop, tmp_path):
    with guarded_master(loop, tmp_path) as master:
        yield master


@pytest.fixture
def fleet(master, start_worker):
    """A master with a worker, and one environment of each client."""
    start_worker().register(master.by("worker"), max_envs=4)
    for name in ("ann", "bob", "revoked"):
        master.name(name)
    master.name("expired", lasts_s=-1)
    master.file.revoke("revoked")
    master.keys.refresh()
    for who, env_id in (("ann", "anns"), ("bob", "bobs"), ("cluster", "operators")):
        assert master.create(who, env_id).status_code == 201
    return master


@pytest.mark.parametrize("who", MAY)
def test_a_caller_may_call_what_its_token_is_for_and_nothing_else(fleet, who):
    statuses = {}
    for call in sorted(EVERY):
        method, path = call.split(" ")
        statuses[call] = fleet.by(who).request(method, path, json=None if method == "GET" else {})
    assert {call for call, reply in statuses.items() if reply.status_code not in REFUSED} == MAY[who]
    expected = 401 if MAY[who] == OPEN else 403
    for call in EVERY - MAY[who]:
        assert statuses[call].status_code == expected, call
        assert ("www-authenticate" in statuses[call].headers) == (expected == 401), call
    assert all(reply.status_code < 500 for reply in statuses.values())


@pytest.mark.parametrize(
    ("who", "closes"), [("cluster", True), ("ann", True), ("bob", False), ("worker", False), ("none", False)]
)
def test_an_environment_is_closed_by_who_created_it_and_by_the_operator(fleet, who, closes):
    assert (fleet.by(who).post("/envs/anns/close").status_code == 200) is closes
    assert ("anns" in fleet.by("cluster").get("/envs/list").json()["environments"]) is not closes


@pytest.mark.parametrize(
    "path", ["/envs/%61nns/session_info", "/envs/anns%2Fsession_info", "/envs/./anns/session_info"]
)
def test_an_id_written_otherwise_opens_nothing(fleet, path):
    assert fleet.by("bob").get(path).status_code in (403, 404)


def test_a_client_sees_its_own_environments_alone(fleet):
    for who, mine in (("ann", {"anns"}), ("bob", {"bobs"}), ("cluster", {"anns", "bobs", "operators"})):
        found = fleet.by(who).get("/envs/list").json()
        assert (set(found["environments"]), found["total"]) == (mine, len(mine))


@pytest.mark.parametrize("env_id", ["bobs", "operators"])
def test_a_create_under_the_id_of_another_is_refused_and_changes_nothing(fleet, env_id):
    assert fleet.create("ann", env_id).status_code == 403
    assert fleet.by("ann").get(f"/envs/{env_id}/session_info").status_code == 403
    assert fleet.by("cluster").get(f"/envs/{env_id}/session_info").status_code == 200


def test_a_create_of_ones_own_again_gets_the_same_environment(fleet):
    assert fleet.create("ann", "anns").status_code == 201
    assert fleet.create("cluster", "anns").status_code == 201
    assert fleet.by("ann").get("/envs/anns/session_info").status_code == 200


def test_an_environment_that_its_worker_names_otherwise_is_its_creators_too(master, worker):
    worker.register(master.by("worker"), max_envs=2)
    worker.own_id = "of-the-worker"
    master.name("ann")
    master.name("bob")
    assert master.create("ann", "asked").json()["env_id"] == "of-the-worker"
    assert master.by("ann").get("/envs/of-the-worker/session_info").status_code == 200
    assert master.by("bob").get("/envs/of-the-worker/session_info").status_code == 403


def test_a_quota_holds_until_an_environment_is_closed(master, worker):
    worker.register(master.by("worker"), max_envs=9)
    master.name("ann", max_envs=2)
    assert [master.create("ann", env_id).status_code for env_id in ("e1", "e2", "e2")] == [201, 201, 201]
    refused = master.create("ann", "e3")
    assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
    assert "close one" in refused.json()["error"]
    assert master.create("cluster", "e4").status_code == 201
    master.by("ann").post("/envs/e1/close")
    assert master.create("ann", "e3").status_code == 201


def test_creates_asked_for_at_once_do_not_get_past_a_quota(master, worker):
    worker.register(master.by("worker"), max_envs=9)
    worker.gate.clear()
    master.name("ann", max_envs=2)
    statuses: list[int] = []
    http = master.by("ann")

    def ask(number):
        reply = http.post("/envs/create", json={"env_dir": "e", "env_id": f"e{number}"})
        statuses.append(reply.status_code)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: statuses == [429] * 4)
    worker.gate.set()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [201, 201, 429, 429, 429, 429]


def test_a_failed_create_uses_up_no_quota(master):
    master.name("ann", max_envs=1)
    assert [master.create("ann", f"e{n}", queue_timeout_s=0).status_code for n in range(3)] == [503] * 3


def test_a_priority_above_the_tokens_is_refused_and_not_lowered_in_silence(master, worker):
    worker.register(master.by("worker"), max_envs=9)
    master.name("ann", priority_max=5)
    refused = master.create("ann", "e1", priority=6)
    assert (refused.status_code, refused.json()["priority_max"]) == (403, 5)
    assert master.create("ann", "e1", priority=5).status_code == 201


def test_owners_outlive_the_master(loop, tmp_path, worker):
    with guarded_master(loop, tmp_path) as first:
        worker.register(first.by("worker"), max_envs=2)
        first.name("ann", max_envs=1)
        first.name("bob")
        tokens = dict(first.tokens)
        assert first.create("ann", "anns").status_code == 201
    with guarded_master(loop, tmp_path) as second:
        second.tokens = tokens
        assert second.by("ann").get("/envs/anns/session_info").status_code == 200
        assert second.by("bob").get("/envs/anns/session_info").status_code == 403
        assert second.create("ann", "more").status_code == 429


def test_a_revoked_tokens_environments_run_on_and_come_back_with_its_name(fleet):
    fleet.file.revoke("ann")
    fleet.keys.refresh()
    assert fleet.by("ann").get("/envs/anns/session_info").status_code == 401
    assert fleet.by("cluster").get("/envs/anns/session_info").status_code == 200
    fleet.by("ann").close()
    del fleet.clients["ann"]
    fleet.name("ann")
    assert fleet.by("ann").get("/envs/anns/session_info").status_code == 200


def test_a_running_master_takes_up_new_tokens_by_itself(loop, tmp_path, worker):
    path = tmp_path / "token"
    path.write_text(CLUSTER)
    cluster = RotatingToken(CLUSTER, path, read=lambda: path.read_text())
    with guarded_master(loop, tmp_path, cluster=cluster, worker_token=None) as master:
        worker.register(master.by("cluster"), max_envs=2)
        assert master.create("cluster", "e1").status_code == 201
        master.tokens["ann"] = master.file.create("ann")
        master.tokens["rotated"] = "another-cluster-token"
        path.write_text("another-cluster-token")
        for who, call in (
            ("ann", "/queue"),
            ("rotated", "/workers/list"),
            ("rotated", "/envs/e1/session_info"),
        ):
            wait_until(partial(opens, master.by(who), call))
        assert master.by("cluster").get("/envs/e1/session_info").status_code == 200  # for the grace
        assert worker.beat(master.by("cluster"), "e1").status_code == 200
