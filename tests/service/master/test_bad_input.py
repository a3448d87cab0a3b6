"""What is wrong is refused at the door, and nothing of it stays."""

import json

import pytest

from tests.waiting import wait_until

LONG = "x" * 5000


def post(master, call, text):
    return master.http.post(call, content=text, headers={"Content-Type": "application/json"})


@pytest.mark.parametrize("cores", ["1e999", "NaN", "1" + "0" * 400, "-Infinity"])
def test_resources_no_machine_has_are_refused(master, worker, cores):
    worker.register(master.http)
    reply = post(master, "/envs/create", f'{{"env_spec": {{"resources": {{"cpu": {cores}}}}}}}')
    assert (reply.status_code, reply.json()["code"]) == (422, "request_invalid")


@pytest.mark.parametrize("gpus", ["1e999", "1" + "0" * 400])
def test_a_worker_with_resources_no_machine_has_is_refused(master, gpus):
    body = f'{{"worker_id": "w1", "url": "http://h:1", "resources": {{"gpu": {gpus}}}}}'
    assert post(master, "/workers/register", body).status_code == 422


@pytest.mark.parametrize(
    "more",
    [
        {"env_ids": ["\ud800"]},
        {"env_ids": ["a/b"]},
        {"metrics": {"deep": [{"\ud800": 1}]}},
        {"metrics": {"load": float("nan")}},
        {"worker_id": LONG},
    ],
)
def test_a_heartbeat_that_cannot_be_shown_is_refused(master, worker, more):
    worker.register(master.http)
    reply = post(master, "/workers/heartbeat", json.dumps({"worker_id": "w1", **more}))
    assert reply.status_code == 422
    assert len(reply.json()["error"]) < 400
    assert master.http.get("/workers/list").status_code == 200


@pytest.mark.parametrize("more", [{"hostname": "\ud800"}, {"metadata": {"mine": ["\ud800"]}}])
def test_a_registration_that_cannot_be_shown_is_refused(master, more):
    body = {"worker_id": "w1", "url": "http://h:1", **more}
    assert post(master, "/workers/register", json.dumps(body)).status_code == 422
    assert master.http.get("/workers/list").json()["total_workers"] == 0


def test_a_create_that_cannot_be_written_is_refused(master, worker):
    worker.register(master.http)
    body = json.dumps({"env_dir": "e", "metadata": {"who": "\ud800"}})
    assert post(master, "/envs/create", body).status_code == 422


@pytest.mark.parametrize(("call", "mib"), [("/envs/create", 8), ("/workers/heartbeat", 1)])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_is_too_large_is_refused(master, call, mib, chunked):
    body = b" " * (mib << 20) + b"{}"
    content = (body[at : at + 65536] for at in range(0, len(body), 65536)) if chunked else body
    reply = master.http.post(call, content=content, headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["code"]) == (413, "too_large")


def test_the_largest_body_is_taken(master):
    body = b" " * ((8 << 20) - 2) + b"{}"
    assert post(master, "/envs/create", body).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/envs/create", {"env_dir": "e", "runner": LONG}),
        ("POST", "/envs/create", {"env_spec": {"runner": LONG}}),
        ("POST", "/envs/create", {"env_dir": "e", "verifier_env": {f"{LONG}=": "1"}}),
        ("POST", "/envs/create", {"env_dir": "e", "verifier_env": {LONG: 1}}),
        ("POST", f"/envs/{LONG}/step", {}),
        ("POST", f"/envs/{LONG}/close", {}),
        ("GET", f"/envs/{LONG}", None),
        ("POST", "/workers/drain", {"worker_id": LONG}),
    ],
)
def test_an_error_does_not_repeat_long_input(master, method, path, body):
    reply = master.http.request(method, path, json=body)
    assert 400 <= reply.status_code < 500
    assert LONG[:201] not in reply.text


def test_a_create_repeated_with_its_key_is_the_same_environment(master, worker):
    worker.register(master.http)

    def create(key, **body):
        return master.http.post(
            "/envs/create", json={"env_dir": "e", **body}, headers={"Idempotency-Key": key}
        )

    first, again = create("k"), create("k")
    assert (first.status_code, again.json()) == (201, first.json())
    assert create("k", task_id="other").json()["code"] == "conflict"


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "\xe9"])
@pytest.mark.parametrize("call", ["create", "e1/close"])
def test_a_key_that_is_none_is_refused(master, worker, call, key):
    worker.register(master.http)
    headers = {"Idempotency-Key": key.encode("latin-1")}
    assert master.http.post(f"/envs/{call}", json={"env_dir": "e"}, headers=headers).status_code == 422
    assert master.http.get("/envs/list").json()["environments"] == {}


def test_closing_is_repeatable(master, worker):
    worker.register(master.http)
    master.create("e1")
    for _ in range(2):
        reply = master.http.post("/envs/e1/close")
        assert (reply.status_code, reply.json().get("status", "closed")) == (200, "closed")
    assert master.http.post("/envs/never-was/close").status_code == 404


def test_a_master_that_could_not_read_its_state_does_not_deny_what_it_may_have_lost(start_master):
    reply = start_master(fresh=False).http.post("/envs/e1/step", json={})
    assert (reply.status_code, reply.json()["code"]) == (503, "master_recovering")


def test_closing_a_lost_environment_leaves_nothing_to_do(master, worker):
    worker.register(master.http)
    master.create("e1")
    master.http.post("/workers/deregister", json={"worker_id": "w1"})
    assert master.http.post("/envs/e1/step", json={}).status_code == 410
    assert master.http.post("/envs/e1/close").json() == {"status": "closed"}


def test_a_call_on_a_queued_environment_says_at_which_position(master, worker):
    worker.register(master.http)
    master.create("e1")
    asked = []
    for env_id in ("e2", "e3"):
        asked.append(master.creating(env_id))
        wait_until(lambda: master.http.get("/queue").json()["total"] == len(asked))
    reply = master.http.post("/envs/e3/reset", json={})
    assert (reply.status_code, reply.json()["position"]) == (404, 1)
    assert "is queued at position 1" in reply.json()["error"]
    for env_id in ("e2", "e3"):
        master.http.post(f"/envs/{env_id}/close")
    assert [future.result(10).status_code for future in asked] == [409, 409]
