import random
from dataclasses import replace

import pytest

from gym_queue.master.placement import Need, Placement, Unplaceable, need_of, place
from gym_queue.master.records import WorkerSnapshot
from gym_queue.protocol.fleet import Resources, WorkerStatus
from gym_queue.protocol.sessions import CreateRequest

IDLE = WorkerSnapshot(
    worker_id="w1",
    url="http://w1",
    status=WorkerStatus.HEALTHY,
    max_envs=10,
    used=0,
    runners=("docker", "local"),
    queues=frozenset({"env.docker.w1", "env.local.w1"}),
    cpu=8,
    mem_gb=16,
    gpu=None,
)
ANY = Need(frozenset())


def worker(worker_id, **changes):
    queues = frozenset(f"env.{name}.{worker_id}" for name in changes.get("runners", IDLE.runners) or ())
    return replace(IDLE, worker_id=worker_id, url=f"http://{worker_id}", queues=queues, **changes)


def chosen(*arguments, **options) -> str:
    found = place(*arguments, **options)
    assert isinstance(found, Placement)
    return found.worker_id


def test_the_create_goes_to_the_queue_of_the_runner_and_worker():
    assert place(Need(frozenset({"local"})), [IDLE]) == Placement("w1", "http://w1", "local", "env.local.w1")


def test_a_need_for_any_runner_takes_the_workers_first():
    assert place(ANY, [IDLE]) == Placement("w1", "http://w1", "docker", "env.docker.w1")


def test_a_worker_without_queues_gets_the_create_by_http():
    found = place(Need(frozenset({"local"})), [replace(IDLE, queues=frozenset())])
    assert found == Placement("w1", "http://w1", "local", None)


def test_a_worker_that_does_not_say_its_runners_takes_any():
    found = place(Need(frozenset({"qemu"})), [replace(IDLE, runners=None, queues=frozenset())])
    assert isinstance(found, Placement)


def test_the_least_loaded_worker_is_taken():
    workers = [worker("w1", used=5), worker("w2", used=2), worker("w3", used=8)]
    assert chosen(ANY, workers) == "w2"


def test_near_ties_go_to_the_worker_that_has_the_environment_cached():
    workers = [worker("w1", used=2), worker("w2", used=3, cached=frozenset({"env"}))]
    assert {chosen(Need(frozenset(), env_key="env"), workers) for _ in range(20)} == {"w2"}


def test_near_ties_are_spread_at_random():
    workers = [worker("w1", used=2), worker("w2", used=3)]
    rng = random.Random(1)
    assert {chosen(ANY, workers, rng=rng) for _ in range(50)} == {"w1", "w2"}


@pytest.mark.parametrize(
    ("changes", "need", "why", "hopeless"),
    [
        ({"used": 10}, ANY, "all 10 slots are taken", False),
        ({"starting": 2, "max_starting": 2}, ANY, "already starts 2", False),
        ({"status": WorkerStatus.UNHEALTHY}, ANY, "unhealthy", False),
        ({"status": WorkerStatus.DRAINING}, ANY, "draining", False),
        ({"status": WorkerStatus.DEAD}, ANY, "dead", True),
        ({"max_envs": 0}, ANY, "has no slots", True),
        ({"runners": ()}, ANY, "has no usable runner", True),
        ({}, Need(frozenset({"qemu"})), "has no qemu runner", True),
        ({}, Need(frozenset(), Resources(cpu=9)), "has 8 cores and 9 are needed", True),
        ({}, Need(frozenset(), Resources(mem_gb=17)), "has 16 GiB of memory and 17 are needed", True),
        ({}, Need(frozenset(), Resources(gpu=1)), "has no GPU", True),
    ],
)
def test_why_a_worker_does_not_fit(changes, need, why, hopeless):
    assert place(need, [replace(IDLE, **changes)]) == Unplaceable({"w1": why}, hopeless)


def test_a_worker_that_failed_the_create_is_not_tried_again():
    assert chosen(ANY, [worker("w1"), worker("w2")], exclude=["w1"]) == "w2"


def test_without_workers_a_create_is_hopeless():
    assert place(ANY, []) == Unplaceable({}, hopeless=True)


@pytest.mark.parametrize(
    ("fields", "runners"),
    [
        ({"env_dir": "x"}, set()),
        ({"env_dir": "x", "runner": "local"}, {"local"}),
        ({"env_spec": {"runner": "docker"}}, {"docker"}),
        ({"env_spec": {"base": "windows-11"}}, {"qemu", "qemu_native"}),
        ({"env_spec": {"base": "x11-lite"}}, set()),
        ({"env_spec": {"runner": 7, "base": ["x"]}}, set()),
    ],
)
def test_the_runner_comes_from_the_request_the_spec_or_the_preset(fields, runners):
    assert need_of(CreateRequest(**fields)).runners == runners


@pytest.mark.parametrize("raw", [None, "much", {"cpu": "2"}, {"cpu": -1}, {"gpu": None}])
def test_resources_that_are_none_ask_for_nothing(raw):
    assert need_of(CreateRequest(env_spec={"resources": raw})).resources == Resources()


def test_resources_come_from_the_spec():
    need = need_of(CreateRequest(env_spec={"resources": {"cpu": 2, "mem_gb": 0.5, "gpu": 1}}))
    assert need.resources == Resources(cpu=2, mem_gb=0.5, gpu=1)
    assert need.capability == "any cpu=2 mem_gb=0.5 gpu=1"
