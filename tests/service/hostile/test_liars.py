"""Workers that lie to the master, in what they answer and in what they say of themselves: it stays whole, and sane."""

from __future__ import annotations

import json
import math
import socket
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from gym_queue.protocol.fleet import SECRET_HEADER
from tests.service.hostile.cluster import FINE, INVALID, MALFORMED, verdict
from tests.service.hostile.liars import LIES, Liar
from tests.waiting import wait_until

WORKER_ID, ENV_ID = "w-liar", "of-a-liar"
BAD, AWAY, SLOW = (502, "bad_reply"), (503, "worker_unreachable"), (504, "gateway_timeout")
GROWTH = 48 << 20
"""Bytes of memory that answering may cost for a while."""
ONE = f"/workers/{WORKER_ID}/episodes/e/episode_001"
BROKEN = ("half", "broken chunks")
"""What cannot be taken back once it has begun."""
DANGEROUS = ("set-cookie", "refresh", "clear-site-data", "service-worker-allowed")


@pytest.fixture(scope="module")
def liar(cluster):
    """A worker that registered by hand, with an environment."""
    made = Liar()
    body = {"worker_id": WORKER_ID, "url": made.url, "max_envs": 0, "env_ids": [ENV_ID], "bears_secret": True}
    reply = cluster.by("worker").post("/workers/register", json=body)
    assert verdict(reply) == (201, None)
    made.secret = {SECRET_HEADER: reply.json()["worker_secret"]}
    yield made
    cluster.by("worker").post("/workers/deregister", json={"worker_id": WORKER_ID}, headers=made.secret)
    made.stop()


@pytest.fixture(scope="module")
def memory(cluster):
    """How many bytes of memory the master has."""
    return psutil.Process(cluster.fleet.master.process.pid).memory_info


def is_nobodys_page(headers):
    """Return whether a browser that goes there runs nothing in the dashboard's name."""
    kind = headers.get("content-type", "").partition(";")[0]
    is_guarded = "sandbox" in headers.get("content-security-policy", "")
    is_plain = headers.get("x-content-type-options", "").startswith("nosniff")
    return (kind == "application/json" or (is_guarded and is_plain)) and not any(
        name in headers for name in DANGEROUS
    )


@pytest.mark.parametrize("lie", LIES)
def test_no_answer_of_a_worker_breaks_a_list(cluster, liar, memory, lie):
    liar.lie, before = LIES[lie], memory().rss
    query = {"worker": WORKER_ID, "task": lie}  # an answer stands for a while
    reply = cluster.by("operator").get("/api/episodes", params=query)
    assert verdict(reply) == FINE
    said = json.loads(reply.content, parse_constant=pytest.fail)
    assert (said["rows"], said["next_before"]) == ([], None)
    is_list = lie in ("a page as an error", "an error of another", "strange lines")
    assert said["unreachable"] == ([] if is_list and lie != "strange lines" else [WORKER_ID])
    assert memory().rss - before < GROWTH


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize(
    "path", [ONE, f"{ONE}/file?path=x.html", f"/envs/{ENV_ID}/screen", f"/envs/{ENV_ID}/logs"]
)
def test_no_answer_of_a_worker_is_a_page_or_a_bug_of_the_master(cluster, liar, memory, lie, path):
    liar.lie, before = LIES[lie], memory().rss
    with (
        suppress(httpx.TransportError) if lie in BROKEN else nullcontext(),
        cluster.by("page").stream("GET", path) as reply,
    ):
        deque(reply.iter_raw(), maxlen=0)
    if lie in BROKEN:
        return
    assert reply.status_code in (200, 302, 401, 404, 422, 500, 502)
    assert path.startswith("/envs/") or reply.status_code in (200, 404, 502)
    assert is_nobodys_page(reply.headers), dict(reply.headers)
    assert memory().rss - before < GROWTH


def test_what_a_worker_tells_of_an_environment_that_ended_is_checked(cluster, liar, memory):
    register = {"worker_id": WORKER_ID, "url": liar.url, "max_envs": 0, "env_ids": [], "bears_secret": True}
    liar.lie = b""
    reply = cluster.by("worker").post("/workers/register", json=register, headers=liar.secret)
    assert verdict(reply) == (201, None)
    before = memory().rss
    for lie, answer in LIES.items():
        liar.lie = answer
        reply = cluster.by("operator").get(f"/api/logs/{ENV_ID}")
        assert verdict(reply) in (FINE, (404, "env_not_found")), lie
        json.loads(reply.content, parse_constant=pytest.fail)
    assert memory().rss - before < GROWTH


def test_a_worker_that_never_answers_is_waited_for_no_longer_than_may_be(cluster, liar):
    liar.is_silent = True
    paths = (f"/api/episodes?worker={WORKER_ID}&task=silent", ONE, f"{ONE}/file?path=x")
    with ThreadPoolExecutor(len(paths)) as threads:
        listed, *found = threads.map(cluster.by("operator").get, paths)
    liar.is_silent = False
    assert listed.json()["unreachable"] == [WORKER_ID]
    assert {verdict(each) for each in found} == {SLOW}


METRICS = {
    "not there": "null",
    "a list": "[]",
    "a number": "1",
    "NaN": '{"clock": NaN}',
    "infinity": '{"clock": 1e999}',
    "the end of time": '{"clock": 1e308}',
    "before time": '{"clock": -1e308}',
    "no clock": '{"clock": "noon"}',
    "yes": '{"clock": true}',
    "calls of no kind": '{"calls": [1, 2]}',
    "calls below nothing": '{"calls": {"step": [-1, -1, -1, -1]}}',
    "calls of no end": '{"calls": {"step": [9007199254740992, 9007199254740992, 0, 9007199254740992]}}',
    "calls beyond all buckets": '{"calls": {"step": [1, 1, 48, 1, 1, 1]}}',
    "calls by the half": '{"calls": {"step": [0.5, 0.5, 0, 0.5]}}',
    "calls that are true": '{"calls": {"step": [true, true, true, true]}}',
    "calls by the thousand": json.dumps({"calls": {"step": [1] * 3000}}),
    "other calls": '{"calls": {"<script>": [1, 1, 0, 1], "close": [1, 1, 0, 1]}}',
    "many": '{"calls": {"step": [1000, 3, 0, 5], "reset": [1000, 0, 3, 1]}}',
    "fewer than before": '{"calls": {"step": [10, 1, 0, 2], "reset": [1000, 0, 3, 1]}}',
    "none any more": '{"calls": {}}',
    "a megabyte": json.dumps({"x": "x" * (1 << 20)}),
    "many keys": json.dumps({f"k{n}": n for n in range(20_000)}),
    "depth": f'{{"x": {"[" * 150}{"]" * 150}}}',
    "more depth": f'{{"x": {"[" * 5000}{"]" * 5000}}}',
    "markup": '{"</script><script>alert(1)</script>": "<img src=x onerror=alert(1)>"}',
}
FACES = ("/api/overview", "/api/workers", "/api/history", "/api/metrics", "/workers/list", "/metrics")


@pytest.mark.parametrize("lie", METRICS)
def test_no_number_of_a_heartbeat_spoils_the_statistics(cluster, liar, lie):
    order = list(METRICS).index(lie) + 1
    text = f'{{"worker_id": "{WORKER_ID}", "sequence": {order}, "metrics": {METRICS[lie]}}}'
    headers = {**liar.secret, "Content-Type": "application/json"}
    reply = cluster.by("worker").post("/workers/heartbeat", content=text, headers=headers)
    assert verdict(reply) in (FINE, INVALID, MALFORMED, (413, "too_large"))
    for path in FACES:
        said = cluster.by("operator").get(path)
        assert verdict(said) == FINE, path
        assert len(said.content) < 1 << 20
        if path != "/metrics":
            numbers = list(_numbers(json.loads(said.content, parse_constant=pytest.fail)))
            assert all(math.isfinite(number) for number in numbers), path
    shown = cluster.by("operator").get("/api/overview").json()
    for group in ("rates", "totals", "latency", "workers", "slots", "envs"):
        assert all(number >= 0 for number in _numbers(shown[group])), group
    for line in cluster.by("operator").get("/metrics").text.splitlines():
        assert line.startswith("#") or float(line.rpartition(" ")[2]) >= 0, line


def test_readers_that_never_read_are_bounded_and_cost_little(cluster, memory):
    """More of them than may listen: the others are told so, and all is as before when they have gone."""
    where, before = urlsplit(cluster.url("master")), memory().rss
    head = f"GET /api/live HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {cluster.tokens['operator']}\r\nLast-Event-ID: \xff-9{'9' * 400}\r\n\r\n"
    readers = [socket.create_connection((where.hostname, where.port), timeout=15) for _ in range(300)]
    try:
        for reader in readers:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            reader.sendall(head.encode("latin-1"))
        begun = [reader.recv(12).rpartition(b" ")[2] for reader in readers]
        assert {*begun} == {b"200", b"429"}
        assert begun.count(b"200") == 200
        cluster.round_trip()  # all of them are told
        assert memory().rss - before < GROWTH
    finally:
        for reader in readers:
            reader.close()

    def is_heard():
        with cluster.by("operator").stream("GET", "/api/live") as reply:
            return reply.status_code == 200

    wait_until(is_heard)


def _numbers(value):
    if isinstance(value, dict):
        for each in value.values():
            yield from _numbers(each)
    elif isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
