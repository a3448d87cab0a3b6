"""Forged workers: none takes another's place, its environments, or leads the master astray."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gym_queue.protocol.fleet import SECRET_HEADER
from tests.service.hostile.cluster import FINE, FORBIDDEN, INVALID, UNAUTHORIZED, verdict

CONFLICT = (409, "conflict")
VICTIM = "worker-1"
ELSEWHERE = "http://127.0.0.1:9"
WORDS = ("register", "heartbeat", "deregister", "drain")


def worker(cluster, worker_id=VICTIM):
    """Return what the master says of a worker; nothing when it does not know it."""
    workers = cluster.by("operator").get("/workers/list").json()["workers"]
    return next((each for each in workers if each["worker_id"] == worker_id), {})


@pytest.fixture
def forged(cluster):
    """A worker that registers as itself, by hand; returns its name and its secret."""
    body = {"worker_id": "w-forged", "url": ELSEWHERE, "max_envs": 0, "bears_secret": True}
    reply = cluster.by("worker").post("/workers/register", json=body)
    assert reply.status_code == 201
    headers = {SECRET_HEADER: reply.json()["worker_secret"]}
    yield headers
    cluster.by("worker").post("/workers/deregister", json={"worker_id": "w-forged"}, headers=headers)
    assert worker(cluster, "w-forged") == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data/", "http://169.254.169.254", "http://[fd00:ec2::254]", "http://100.100.100.200",
        "http://[::ffff:169.254.169.254]:80", "http://2852039166", "http://0xa9fea9fe", "http://0251.0376.0251.0376",
        "http://0.0.0.0:5900", "http://[::]:5900", "http://224.0.0.1", "http://user:password@10.0.0.1:5900",
        "http://10.0.0.1@169.254.169.254", "http://10.0.0.1:5900/path", "http://10.0.0.1:5900?x=1", "http://10.0.0.1:5900#x",
        "http://10.0.0.1:0", "http://10.0.0.1:99999", "http://10.0.0.1:http", "http://[::1", "http://", "http:///x",
        "ftp://10.0.0.1", "file:///etc/passwd", "gopher://10.0.0.1:70/_x", "unix:///run/docker.sock", "javascript:alert(1)",
        "//10.0.0.1", "10.0.0.1:5900", "http://10.0.0.1\r\nX-Evil: 1", "http://10.0.0.1 x", "http://\\\\10.0.0.1",
        "http://10.0.0.1:5900\u0000", "http://" + "a" * 400, "",
    ],
)  # fmt: skip
def test_an_address_where_no_worker_serves_is_refused(cluster, url):
    reply = cluster.by("worker").post("/workers/register", json={"worker_id": "w-ssrf", "url": url})
    assert verdict(reply) == INVALID
    assert worker(cluster, "w-ssrf") == {}
    assert "user:password" not in reply.text


@pytest.mark.parametrize("caller", ["client", "none"])
@pytest.mark.parametrize("word", WORDS)
def test_who_bears_no_worker_token_speaks_for_no_worker(cluster, env, word, caller):
    before = worker(cluster)["env_ids"]
    body = {"worker_id": VICTIM, "url": ELSEWHERE, "env_ids": []}
    reply = cluster.by(caller).post(f"/workers/{word}", json=body)
    assert verdict(reply) == (FORBIDDEN if caller == "client" else UNAUTHORIZED)
    assert worker(cluster)["env_ids"] == before


FORGED_WORDS: dict[str, tuple[str, dict[str, object]]] = {
    "a heartbeat that drops the environment": ("heartbeat", {"env_ids": [], "sequence": 10**15}),
    "a heartbeat that claims another": ("heartbeat", {"env_ids": ["stolen"]}),
    "a heartbeat that drains": ("heartbeat", {"status": "draining"}),
    "a deregistration": ("deregister", {"reason": "forged"}),
    "a drain": ("drain", {}),
}


@pytest.mark.parametrize("secret", [None, "wrong", "", "x" * 5000, "\xff"])
@pytest.mark.parametrize("what", FORGED_WORDS)
def test_a_word_in_anothers_name_is_refused_and_changes_nothing(cluster, env, what, secret):
    before = worker(cluster)
    call, body = FORGED_WORDS[what]
    headers = {} if secret is None else {SECRET_HEADER: secret.encode("latin-1")}
    reply = cluster.by("worker").post(f"/workers/{call}", json={"worker_id": VICTIM, **body}, headers=headers)
    assert verdict(reply) == FORBIDDEN
    after = worker(cluster)
    same = ("url", "status", "env_ids", "max_envs", "registered_at")
    assert [after[key] for key in same] == [before[key] for key in same]
    assert verdict(env.post("step", {})) == FINE


@pytest.mark.parametrize(
    "claim", [{"url": ELSEWHERE}, {"url": None}, {"url": ELSEWHERE, "env_ids": ["{env}"]}, {"url": ELSEWHERE, "max_envs": 10_000}]
)  # fmt: skip
def test_a_registration_under_anothers_id_is_refused_while_that_lives(cluster, env, claim):
    body = {"worker_id": VICTIM, **claim, "metadata": {"pid": 1}, "bears_secret": True}
    body["url"] = body["url"] or cluster.url("worker")
    if "env_ids" in body:
        body["env_ids"] = [env.env_id]
    reply = cluster.by("worker").post("/workers/register", json=body)
    assert verdict(reply) == CONFLICT
    assert "worker_secret" not in reply.text
    assert worker(cluster)["url"] == cluster.url("worker")
    assert verdict(env.post("step", {})) == FINE


def test_an_environment_of_another_is_stolen_by_no_heartbeat_and_no_registration(cluster, env, forged):
    http = cluster.by("worker")
    for sequence in (1, 2, 3):
        body = {"worker_id": "w-forged", "env_ids": [env.env_id], "env_count": 1, "sequence": sequence}
        assert verdict(http.post("/workers/heartbeat", json=body, headers=forged)) == FINE
        assert verdict(env.post("step", {})) == FINE
    again = {
        "worker_id": "w-forged",
        "url": ELSEWHERE,
        "max_envs": 0,
        "env_ids": [env.env_id],
        "bears_secret": True,
    }
    assert verdict(http.post("/workers/register", json=again, headers=forged)) == (201, None)
    assert verdict(env.post("step", {})) == FINE
    mappings = cluster.by("operator").get("/workers/list").json()["env_mappings"]
    assert mappings[env.env_id] == VICTIM


def test_a_replayed_or_stale_heartbeat_changes_nothing(cluster, forged):
    http = cluster.by("worker")

    def beat(sequence, **more):
        body = {"worker_id": "w-forged", "sequence": sequence, **more}
        return verdict(http.post("/workers/heartbeat", json=body, headers=forged))

    assert beat(5, cpu_percent=50.0, env_ids=["of-forged"]) == FINE
    before = worker(cluster, "w-forged")
    for sequence in (5, 4, 0):
        assert beat(sequence, cpu_percent=99.0, env_ids=[], status="draining") == FINE
    after = worker(cluster, "w-forged")
    same = ("cpu_percent", "env_ids", "status")
    assert [after[key] for key in same] == [before[key] for key in same]
    assert beat(6, cpu_percent=60.0) == FINE
    assert worker(cluster, "w-forged")["cpu_percent"] == 60.0


def test_a_heartbeat_of_an_earlier_process_or_of_a_worker_that_left_changes_nothing(cluster, forged):
    http = cluster.by("worker")
    body = {"worker_id": "w-forged", "pid": 4711, "cpu_percent": 99.0, "sequence": 10}
    assert verdict(http.post("/workers/heartbeat", json=body, headers=forged))[0] < 500
    http.post("/workers/deregister", json={"worker_id": "w-forged"}, headers=forged)
    reply = http.post("/workers/heartbeat", json=body, headers=forged)
    assert verdict(reply) == (404, "worker_not_found")
    assert reply.json()["action"] == "reregister"


@pytest.mark.parametrize("call", ["create", "list", "x/step", "x/close"])
def test_a_workers_token_makes_no_clients_calls_at_the_master(cluster, call):
    method = "GET" if call == "list" else "POST"
    reply = cluster.by("worker").request(method, f"/envs/{call}", json=None if method == "GET" else {})
    assert verdict(reply) == FORBIDDEN
    assert verdict(cluster.by("worker").get("/workers/list")) == FORBIDDEN
    assert verdict(cluster.by("worker").post("/workers/undrain", json={"worker_id": VICTIM})) == FORBIDDEN


def test_an_environments_own_token_opens_nothing_else(env):
    direct = env.client("worker")

    def ask(call):
        return verdict(direct.request(*call.split(" ")))

    with ThreadPoolExecutor(3) as threads:  # side by side: each wrong token waits longer
        found = list(threads.map(ask, ("POST /envs/create", "GET /envs/list", "POST /envs/other/step")))
    assert found == [UNAUTHORIZED] * 3
