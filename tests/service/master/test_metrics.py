"""Prometheus reads the fleet's numbers, with a token that opens nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.service.master.guarded import guarded_master
from tests.waiting import wait_until

Numbers = dict[tuple[str, ...], float]


@pytest.fixture
def master(loop, tmp_path):
    with guarded_master(loop, tmp_path) as master:
        master.name("ann")
        yield master


def numbers_of(reply: httpx.Response) -> Numbers:
    """Return every number by its name and the values of its labels."""
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=")
    families = text_string_to_metric_families(reply.text)
    return {
        (sample.name.removeprefix("gym_queue_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def read(master) -> Numbers:
    return numbers_of(master.by("metrics").get("/metrics"))


def test_an_empty_fleet_has_numbers_too(master):
    numbers = read(master)
    assert [numbers[name,] for name in ("slots", "slots_used", "queue_length", "queue_oldest_seconds")] == [
        0
    ] * 4
    assert {numbers["workers", status] for status in ("healthy", "unhealthy", "dead", "draining")} == {0}
    assert {numbers["environments", state] for state in ("queued", "creating", "ready")} == {0}


def test_the_numbers_are_those_of_the_list_of_workers(master, start_worker):
    for name in ("w1", "w2"):
        start_worker(name).register(master.by("worker"), max_envs=3)
    for env_id in ("a", "b", "c"):
        assert master.create("cluster", env_id).status_code == 201
    assert master.by("cluster").post("/envs/c/close").status_code == 200
    assert master.by("cluster").post("/workers/drain", json={"worker_id": "w2"}).status_code == 200
    shown, numbers = master.by("cluster").get("/workers/list").json(), read(master)
    assert numbers["slots",] == shown["total_capacity"] == 3
    assert numbers["environments", "ready"] == shown["total_envs"] == 2
    assert numbers["queue_length",] == shown["queue_length"] == 0
    assert numbers["creates_total", "created"] == shown["aggregated"]["total_envs_created"] == 3
    assert numbers["environments_closed_total",] == shown["aggregated"]["total_envs_closed"] == 1
    for status in ("healthy", "unhealthy", "dead", "draining"):
        assert numbers["workers", status] == shown[f"{status}_workers"]
    for worker in shown["workers"]:
        assert numbers["worker_slots", worker["worker_id"]] == worker["max_envs"]
        assert numbers["worker_slots_used", worker["worker_id"]] == worker["effective_count"]
    usable = [worker for worker in shown["workers"] if worker["status"] == "healthy"]
    assert numbers["slots_used",] == sum(worker["effective_count"] for worker in usable)


def test_forwarded_calls_are_counted_by_name_and_outcome_with_how_long_they_took(master, start_worker):
    start_worker().register(master.by("worker"), max_envs=1)
    assert master.create("cluster", "a").status_code == 201
    for _ in range(3):
        master.by("cluster").post("/envs/a/keepalive")
    shown, numbers = master.by("cluster").get("/workers/list").json(), read(master)
    ((call, stats),) = shown["aggregated"]["endpoint_stats"].items()
    assert (call, stats["count"]) == ("keepalive", 3)
    assert numbers["calls_total", call, "ok"] == 3 - stats["failures"]
    assert numbers["calls_total", call, "failed"] == stats["failures"]
    assert (
        numbers["call_duration_seconds_count", call]
        == numbers["call_duration_seconds_bucket", call, "+Inf"]
        == 3
    )
    assert numbers["call_duration_seconds_sum", call] == pytest.approx(3 * stats["mean_ms"] / 1000, abs=1e-5)
    buckets = [n for (name, *_), n in numbers.items() if name == "call_duration_seconds_bucket"]
    assert buckets == sorted(buckets)


def test_creates_that_wait_and_those_that_came_to_nothing_are_in_the_numbers(master, start_worker):
    start_worker().register(master.by("worker"), max_envs=1)
    assert master.create("cluster", "a").status_code == 201
    assert master.create("cluster", "b", queue_timeout_s=0).status_code == 503
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(master.create, "ann", "c")
        wait_until(lambda: read(master)["queue_length",] == 1)
        numbers = read(master)
        assert numbers["environments", "queued"] == 1
        assert 0 < numbers["queue_oldest_seconds",] < 60
        assert master.by("cluster").post("/envs/c/close").status_code == 200
        assert waits.result().json()["code"] == "cancelled"
    numbers = read(master)
    assert (numbers["queue_length",], numbers["queue_oldest_seconds",], numbers["slots_used",]) == (0, 0, 1)
    outcomes = {key[1]: number for key, number in numbers.items() if key[0] == "creates_total"}
    assert outcomes == {"created": 1, "given_up": 0, "no_capacity": 1, "cancelled": 1}


def test_workers_that_left_have_no_series(master, start_worker):
    start_worker("w1").register(master.by("worker"), max_envs=1)
    assert ("worker_slots", "w1") in read(master)
    master.by("worker").post("/workers/deregister", json={"worker_id": "w1"})
    assert not [key for key in read(master) if "w1" in key]


@pytest.mark.parametrize(
    ("who", "status"), [("cluster", 200), ("metrics", 200), ("ann", 403), ("worker", 403)]
)
def test_the_numbers_are_for_the_metrics_token_and_the_operator(master, who, status):
    assert master.by(who).get("/metrics").status_code == status


def test_a_wrong_token_is_challenged_and_counted(master):
    for token in ("wrong", "the-metrics-toke", "the-metrics-token2"):
        reply = httpx.get(f"{master.url}/metrics", headers={"Authorization": f"Bearer {token}"})
        assert (reply.status_code, reply.headers["www-authenticate"]) == (401, 'Bearer realm="gym-anything"')
    assert httpx.get(f"{master.url}/metrics").status_code == 401
    assert master.keys.attempts.count("127.0.0.1") == 3


def test_without_a_metrics_token_the_operator_alone_reads(loop, tmp_path):
    with guarded_master(loop, tmp_path, metrics_token=None) as master:
        assert master.by("cluster").get("/metrics").status_code == 200
        assert master.by("metrics").get("/metrics").status_code == 401
