"""Calls at the wrong time: before an episode, after it, after the environment, and two of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.service.hostile.cluster import FINE, INVALID, small, verdict
from tests.waiting import wait_until

PROGRAMS = ("master", "worker")
STATE, BUSY, NOT_FOUND = (409, "env_state"), (409, "env_busy"), (404, "env_not_found")
GONE = (NOT_FOUND, (410, "env_lost"))
STEP = {"actions": [{"keyboard": {"text": "x"}}]}
SLOW = {"actions": [{"action": "wait", "time": 12}]}
EPISODES = ("step", "capture_observation", "trajectory_event", "copy_to_env", "copy_from_env")
BODIES = {
    "step": STEP,
    "trajectory_event": {"event": {}},
    "copy_to_env": {"host_src": "x", "container_dst": "y"},
    "copy_from_env": {"container_src": "x", "host_dst": "y"},
}


@pytest.fixture
def fresh(cluster):
    """An environment without an episode."""
    made = cluster.create()
    yield made
    assert verdict(made.post("close")) == FINE


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def is_busy(env):
    """Return whether a call runs in an environment, as its worker sees it."""
    return env.cluster.by("worker", "worker").get(f"/envs/{env.env_id}").json()["state"] == "running"


@pytest.mark.parametrize("program", PROGRAMS)
def test_before_a_reset_there_is_no_episode(fresh, program):
    found = {call: verdict(fresh.post(call, BODIES.get(call), program=program)) for call in EPISODES}
    no_folder = (404, "path_not_found")
    assert found == dict.fromkeys(EPISODES, STATE) | {"copy_to_env": no_folder, "copy_from_env": no_folder}
    assert verdict(fresh.get("fetch_path", params={"path": "x"}, program=program)) == no_folder
    assert fresh.get("session_info", program=program).json() == {"session": None}
    assert fresh.get("episode_dir", program=program).json() == {"episode_dir": None}


@pytest.mark.parametrize("program", PROGRAMS)
def test_after_done_a_step_waits_for_a_reset(fresh, program):
    fresh.post("reset")
    assert fresh.post("step", {"mark_done": True}).json()["done"] is True
    for body in (STEP, {"mark_done": True}, {}):
        assert verdict(fresh.post("step", body, program=program)) == STATE
    assert verdict(fresh.post("reset", program=program)) == FINE
    assert verdict(fresh.post("step", STEP, program=program)) == FINE


@pytest.mark.parametrize("program", PROGRAMS)
def test_after_a_close_nothing_is_there_and_a_second_close_finds_it_done(cluster, program):
    env = cluster.create()
    env.post("reset")
    asker = cluster.by("client") if program == "master" else cluster.by("worker", "worker")
    for _ in range(2):
        assert verdict(asker.post(f"/envs/{env.env_id}/close")) == FINE
    for call in ("reset", *EPISODES, "keepalive"):
        assert verdict(asker.post(f"/envs/{env.env_id}/{call}", json=BODIES.get(call))) in GONE, call
    for call in ("session_info", "episode_dir", "fetch_path?path=x"):
        assert verdict(asker.get(f"/envs/{env.env_id}/{call}")) in GONE, call
    assert verdict(asker.post("/envs/never-was/close")) == NOT_FOUND


@pytest.mark.parametrize("call", ["reset", "step"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_second_call_while_one_runs_is_told_whose_the_first_is(fresh, threads, program, call):
    fresh.post("reset")
    first = threads.submit(
        fresh.post, "step", SLOW, program=program, timeout=15, headers={"X-Request-ID": "first"}
    )
    wait_until(lambda: is_busy(fresh))
    reply = fresh.post(call, STEP if call == "step" else {}, program=program)
    assert verdict(reply) == BUSY
    assert "first" in reply.text
    assert verdict(fresh.post("close", program=program)) == FINE
    assert verdict(first.result()) in GONE


@pytest.mark.parametrize("program", PROGRAMS)
def test_resets_at_once_are_one_and_a_typed_refusal_of_the_others(cluster, threads, program):
    env = cluster.create(env_spec=small(create_delay_s=0.5))
    found = [verdict(reply) for reply in threads.map(lambda _: env.post("reset", program=program), range(6))]
    assert sorted(set(found), key=str) in ([FINE, BUSY], [FINE])
    assert found.count(FINE) >= 1
    assert verdict(env.post("step", STEP, program=program)) == FINE
    assert verdict(env.post("close")) == FINE


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_step_during_a_reset_is_refused(cluster, threads, program):
    env = cluster.create(env_spec=small(create_delay_s=12))
    reset = threads.submit(env.post, "reset", {}, program=program, timeout=15)
    wait_until(lambda: is_busy(env))
    assert verdict(env.post("step", STEP, program=program)) == BUSY
    assert verdict(env.post("close", program=program)) == FINE
    assert verdict(reset.result()) in GONE


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_close_while_steps_come_in_ends_each_with_its_result_or_a_typed_error(cluster, threads, program):
    env = cluster.create()
    env.post("reset")
    asker = cluster.by("client") if program == "master" else cluster.by("worker", "worker")
    steps = [threads.submit(asker.post, f"/envs/{env.env_id}/step", json=STEP) for _ in range(12)]
    closes = [threads.submit(asker.post, f"/envs/{env.env_id}/close") for _ in range(3)]
    assert {verdict(close.result()) for close in closes} == {FINE}
    assert {verdict(step.result()) for step in steps} <= {FINE, BUSY, *GONE}


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_environment_that_is_closed_while_its_create_runs_is_gone_for_both(cluster, threads, program):
    env_id, who = f"early-{program}", ("client", "master") if program == "master" else ("worker", "worker")
    body = {"env_id": env_id, "env_spec": small()}
    create = threads.submit(cluster.by(*who).post, "/envs/create", json=body)
    close = cluster.by(*who).post(f"/envs/{env_id}/close")
    assert verdict(close) in (FINE, NOT_FOUND)
    made = verdict(create.result())
    assert made in ((201, None), (409, "cancelled"), (409, "conflict"))
    if made == (201, None):
        assert verdict(cluster.by(*who).post(f"/envs/{env_id}/close")) == FINE


@pytest.mark.parametrize(
    "env_id", ["create", "list", "../x", "a/b", "", " ", "x" * 129, ".", "-a", "a\n", "a\0", 5, "\N{SNOWMAN}"]
)
def test_an_id_that_is_none_is_refused(cluster, env_id):
    for who in (("client", "master"), ("worker", "worker")):
        body = {"env_id": env_id, "env_spec": small()}
        assert verdict(cluster.by(*who).post("/envs/create", json=body)) == INVALID


def test_one_id_for_two_environments_is_refused(cluster, fresh):
    for who in (("client", "master"), ("worker", "worker")):
        body = {"env_id": fresh.env_id, "env_spec": small(step_delay_s=1)}
        assert verdict(cluster.by(*who).post("/envs/create", json=body)) == (409, "conflict")
    stranger = cluster.by("operator").post("/envs/create", json={"env_id": fresh.env_id, "env_spec": small()})
    assert verdict(stranger)[0] in (201, 409)
