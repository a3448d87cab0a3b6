"""Calls that may be repeated, and clients that must show that they live: through a real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.service.worker.conftest import StartRig
from tests.service.worker.rig import Rig, spec
from tests.service.worker.test_http import TOKEN, TYPE, create, serve
from tests.waiting import wait_until


class Clock:
    """Time that a test sets."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def own_rig(start_rig: StartRig, clock: Clock) -> Rig:
    return start_rig(clock=clock)


@pytest.fixture
def client(own_rig: Rig) -> Iterator[httpx.Client]:
    served = serve(own_rig)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=next(served), headers=headers, timeout=30, trust_env=False) as client:
        yield client
    next(served, None)


@pytest.fixture
def env(client: httpx.Client) -> str:
    path = create(client, spec(step_delay_s=0.05))
    assert client.post(f"{path}/reset").status_code == 200
    return path


def step(client: httpx.Client, env: str, key: str, body: dict[str, Any] = TYPE) -> httpx.Response:
    return client.post(f"{env}/step", json=body, headers={"Idempotency-Key": key})


def test_a_step_that_is_sent_again_is_answered_again(client: httpx.Client, env: str) -> None:
    first, again, next_one = (step(client, env, key) for key in ("one", "one", "two"))
    assert first.content == again.content
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert next_one.json()["info"]["step"] == 1


def test_a_step_that_still_runs_is_joined(client: httpx.Client, env: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda _: step(client, env, "same"), range(4)))
    assert {reply.json()["info"]["step"] for reply in replies} == {0}
    assert step(client, env, "next").json()["info"]["step"] == 1


def test_a_step_whose_client_hung_up_is_carried_out_once(client: httpx.Client) -> None:
    env = create(client, spec(step_delay_s=0.5))
    client.post(f"{env}/reset")
    with pytest.raises(httpx.ReadTimeout):
        client.post(f"{env}/step", json=TYPE, headers={"Idempotency-Key": "k"}, timeout=0.1)
    assert step(client, env, "k").json()["info"]["step"] == 0
    assert step(client, env, "l").json()["info"]["step"] == 1


def test_a_reset_that_is_sent_again_begins_no_new_episode(client: httpx.Client, env: str) -> None:
    headers = {"Idempotency-Key": "r"}
    first = client.post(f"{env}/reset", json={"seed": 1}, headers=headers).json()
    step(client, env, "s")
    assert client.post(f"{env}/reset", json={"seed": 1}, headers=headers).json() == first
    assert step(client, env, "t").json()["info"]["step"] == 1


def test_a_key_with_another_body_is_a_conflict(client: httpx.Client, env: str) -> None:
    step(client, env, "k")
    other = step(client, env, "k", {"actions": []})
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
    assert client.post(f"{env}/reset", headers={"Idempotency-Key": "k"}).status_code == 409


def test_an_invalid_step_is_as_invalid_the_second_time(client: httpx.Client, env: str) -> None:
    bad = {"actions": [{"nonsense": 1}]}
    assert [step(client, env, "k", bad).status_code for _ in range(2)] == [422, 422]


def test_what_is_no_key_is_refused(client: httpx.Client, env: str) -> None:
    assert step(client, env, "k" * 200).status_code == 422


def test_closing_what_has_ended_is_done_already(client: httpx.Client, env: str) -> None:
    assert [client.post(f"{env}/close").json() for _ in range(2)] == [{"status": "closed"}] * 2
    assert client.post(f"{env}/step", json=TYPE).json()["code"] == "env_not_found"


def test_an_environment_shows_itself(client: httpx.Client) -> None:
    env = create(client, env_id="shown", lease_s=10)
    found = client.get(env).json()
    assert (found["env_id"], found["state"], found["worker_id"], found["lease_s"]) == (
        "shown",
        "ready",
        "w1",
        10,
    )
    client.post(f"{env}/close")
    assert client.get(env).status_code == 404


def test_a_lease_that_is_not_renewed_runs_out(client: httpx.Client, own_rig: Rig, clock: Clock) -> None:
    kept, left = create(client, lease_s=10), create(client, lease_s=10)
    no_lease = create(client)
    for _ in range(3):
        clock.now += 6
        assert client.post(f"{kept}/keepalive").json() == {"status": "renewed", "lease_s": 10}
    wait_until(lambda: len(own_rig.live) == 2)
    reaped = client.post(f"{left}/step", json=TYPE)
    assert (reaped.status_code, reaped.json()["code"]) == (410, "env_lost")
    assert "did not renew its lease of 10 s" in reaped.json()["error"]
    assert client.post(f"{no_lease}/keepalive").json() == {"status": "renewed", "lease_s": None}
    assert own_rig.host.reaped_count == 1
    assert client.post(f"{left}/close").status_code == 200


def test_steps_renew_a_lease_and_a_long_one_never_ends_it(
    client: httpx.Client, own_rig: Rig, clock: Clock
) -> None:
    env = create(client, spec(step_delay_s=1.5), lease_s=10)
    client.post(f"{env}/reset")
    stepping = threading.Thread(target=step, args=(client, env, "k"))
    stepping.start()
    wait_until(lambda: any(live.busy for live in own_rig.host.snapshot().values()))
    clock.now += 60
    stepping.join()
    clock.now += 9
    assert client.post(f"{env}/keepalive").status_code == 200


def test_time_in_which_clients_cannot_reach_the_worker_counts_for_no_lease(
    client: httpx.Client, own_rig: Rig
) -> None:
    own_rig.host.is_cut_off = lambda: True
    env = create(client, lease_s=1)
    live = own_rig.host.snapshot()[env.rpartition("/")[2]]
    before = live.last_seen
    wait_until(lambda: live.last_seen > before + 2)
    assert not live.ending


def test_orphans_that_hang_are_reaped_side_by_side(client: httpx.Client, own_rig: Rig, clock: Clock) -> None:
    envs = [create(client, lease_s=10) for _ in range(3)]
    hung = [own_rig.host.snapshot()[env.rpartition("/")[2]] for env in envs[:2]]
    for live in hung:
        own_rig.freeze(live)
    clock.now += 11
    wait_until(lambda: all(live.ending for live in own_rig.host.snapshot().values()))
    wait_until(lambda: len(own_rig.live) == 2)
    for live in hung:
        own_rig.process(live).resume()
    wait_until(lambda: not own_rig.live)


def test_a_close_ends_what_is_still_being_opened(client: httpx.Client, own_rig: Rig) -> None:
    forkserver = own_rig.forkserver()
    forkserver.suspend()
    with ThreadPoolExecutor(2) as pool:
        body = {"env_spec": spec(), "env_id": "early"}
        opening = pool.submit(client.post, "/envs/create", json=body)
        wait_until(lambda: "early" in own_rig.live)
        closing = pool.submit(client.post, "/envs/early/close")
        wait_until(lambda: own_rig.host.snapshot()["early"].ending)
        forkserver.resume()
        assert closing.result().json() == {"status": "closed"}
        refused = opening.result()
        assert (refused.status_code, refused.json()["code"]) == (409, "cancelled")
    assert own_rig.live == set()


def test_whoever_joins_a_create_that_is_given_up_is_told_to_ask_again(
    client: httpx.Client, own_rig: Rig
) -> None:
    forkserver = own_rig.forkserver()
    forkserver.suspend()
    body = {"env_spec": spec(), "env_id": "joined"}
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/envs/create", json=body, timeout=2)
        wait_until(lambda: "joined" in own_rig.live)
        joined = pool.submit(client.post, "/envs/create", json=body)
        with pytest.raises(httpx.ReadTimeout):
            first.result()
        forkserver.resume()
        told = joined.result()
        assert (told.status_code, told.json()["code"]) == (503, "no_capacity")
    wait_until(lambda: own_rig.live == set())


@pytest.mark.parametrize("lease", [0, -1, 1e-6, "x"])
def test_what_is_no_lease_is_refused(client: httpx.Client, lease: object) -> None:
    assert client.post("/envs/create", json={"env_spec": spec(), "lease_s": lease}).status_code == 422


@pytest.mark.parametrize("env_id", ["list", "create"])
def test_the_name_of_a_call_is_no_id(client: httpx.Client, env_id: str) -> None:
    assert client.post("/envs/create", json={"env_spec": spec(), "env_id": env_id}).status_code == 422
