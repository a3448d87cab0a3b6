"""Nobody speaks for a worker but the one that registered."""

from __future__ import annotations

import pytest

from gym_queue.protocol.fleet import SECRET_HEADER
from tests.service.master.guarded import guarded_master, worker_of


@pytest.fixture
def master(loop, tmp_path):
    with guarded_master(loop, tmp_path) as master:
        yield master


@pytest.fixture
def victim(master, worker):
    """A worker that bears its secret, with one environment; returns the secret."""
    reply = worker.register(master.by("worker"), max_envs=2, bears_secret=True)
    assert reply.status_code == 201
    assert master.create("cluster", "e1").status_code == 201
    return reply.json()["worker_secret"]


def bearing(secret):
    return {} if secret is None else {SECRET_HEADER: secret}


FORGED: dict[str, tuple[str, dict[str, object]]] = {
    "a heartbeat without the environment": ("heartbeat", {"env_ids": [], "sequence": 10**18}),
    "a heartbeat with one of another": ("heartbeat", {"env_ids": ["e1", "stolen"]}),
    "a heartbeat that drains": ("heartbeat", {"env_ids": ["e1"], "status": "draining"}),
    "a deregistration": ("deregister", {}),
    "a drain": ("drain", {}),
}


@pytest.mark.parametrize("secret", [None, "wrong", "é"])
@pytest.mark.parametrize("forged", FORGED)
def test_what_others_say_in_its_name_is_refused_and_changes_nothing(master, victim, forged, secret):
    before = worker_of(master.by("cluster"), "w1")
    call, body = FORGED[forged]
    headers = {} if secret is None else {SECRET_HEADER: secret.encode()}
    reply = master.by("worker").post(f"/workers/{call}", json={"worker_id": "w1", **body}, headers=headers)
    assert (reply.status_code, reply.json()["code"]) == (403, "forbidden")
    assert master.by("cluster").get("/envs/e1/session_info").json()["asked_of"] == "e1"
    after = worker_of(master.by("cluster"), "w1")
    moving = ("uptime_sec", "last_heartbeat_ago_sec", "total_requests")
    assert {k: v for k, v in after.items() if k not in moving} == {
        k: v for k, v in before.items() if k not in moving
    }


@pytest.mark.parametrize("at_its_own_address", [True, False])
def test_a_registration_in_its_place_is_refused_while_it_lives(
    master, victim, worker, start_worker, at_its_own_address
):
    thief = start_worker()
    url = worker.url if at_its_own_address else thief.url
    reply = thief.register(master.by("worker"), url=url, metadata={"pid": 666}, env_ids=["e1"])
    assert (reply.status_code, reply.json()["code"]) == (409, "conflict")
    assert "worker_secret" not in reply.text
    assert worker_of(master.by("cluster"), "w1")["url"] == worker.url
    assert master.by("cluster").get("/envs/e1/session_info").status_code == 200
    own = master.by("worker").post(
        "/workers/heartbeat", json={"worker_id": "w1", "env_ids": ["e1"]}, headers=bearing(victim)
    )
    assert own.status_code == 200


def test_its_own_words_count(master, victim, worker):
    http = master.by("worker")
    for call in ("heartbeat", "drain", "deregister"):
        body = {"worker_id": "w1", "env_ids": ["e1"]}
        assert http.post(f"/workers/{call}", json=body, headers=bearing(victim)).status_code == 200
    assert worker_of(master.by("cluster"), "w1") == {}


def test_it_keeps_its_secret_when_it_registers_again(master, victim, worker):
    http = master.by("worker")
    http.headers[SECRET_HEADER] = victim
    again = worker.register(http, max_envs=2, bears_secret=True)
    assert (again.status_code, again.json()["worker_secret"]) == (201, victim)
    assert master.by("cluster").get("/envs/e1/session_info").status_code == 200


def test_one_started_anew_gets_a_secret_of_its_own(master, victim, worker, start_worker):
    worker.stop()
    new = start_worker()
    reply = new.register(master.by("worker"), metadata={"pid": 2}, bears_secret=True)
    assert reply.status_code == 201
    assert reply.json()["worker_secret"] != victim
    late = master.by("worker").post("/workers/heartbeat", json={"worker_id": "w1"}, headers=bearing(victim))
    assert late.status_code == 403


def test_a_worker_of_before_secrets_works_without_until_it_bears_one(master, worker):
    http = master.by("worker")
    secret = worker.register(http).json()["worker_secret"]
    assert worker.beat(http).status_code == 200
    wrong = http.post("/workers/heartbeat", json={"worker_id": "w1"}, headers=bearing("wrong"))
    assert wrong.status_code == 403
    right = http.post("/workers/heartbeat", json={"worker_id": "w1"}, headers=bearing(secret))
    assert right.status_code == 200
    assert worker.beat(http).status_code == 403


def test_the_operator_drains_it_without_its_secret(master, victim):
    assert master.by("cluster").post("/workers/drain", json={"worker_id": "w1"}).status_code == 200
    assert worker_of(master.by("cluster"), "w1")["status"] == "draining"
    assert master.by("cluster").post("/workers/deregister", json={"worker_id": "w1"}).status_code == 403


def test_secrets_outlive_the_master_as_hashes(loop, tmp_path, worker):
    with guarded_master(loop, tmp_path) as first:
        secret = worker.register(first.by("worker"), bears_secret=True).json()["worker_secret"]
        assert secret not in first.by("cluster").get("/workers/list").text
    assert all(secret.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    with guarded_master(loop, tmp_path) as second:
        assert worker.beat(second.by("worker")).status_code == 403
        second.by("worker").headers[SECRET_HEADER] = secret
        assert worker.beat(second.by("worker")).status_code == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254",
        "http://169.254.169.254:80/",
        "http://[fe80::1]:5900",
        "http://[fd00:ec2::254]",
        "http://[::ffff:169.254.169.254]",
        "http://2852039166",
        "http://0xa9.254.169.254",
        "http://0.0.0.0:5900",
        "http://user:password@10.0.0.1:5900",
        "http://10.0.0.1:5900/path",
        "http://10.0.0.1:5900?x=1",
        "http://10.0.0.1:99999",
        "http://[::1",
        "ftp://10.0.0.1",
        "file:///etc/passwd",
        "gopher://10.0.0.1:70",
    ],
)
def test_an_address_where_no_worker_is_cannot_be_registered(master, url):
    body = {"worker_id": "w9", "url": url}
    reply = master.by("worker").post("/workers/register", json=body)
    assert (reply.status_code, reply.json()["code"]) == (422, "request_invalid")
    assert worker_of(master.by("cluster"), "w9") == {}
