from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.errors import ConnectionFailed, EnvLost, NotSupported, RequestInvalid
from tests.unit.client.conftest import DROP, HANG, Script, answer
from tests.waiting import wait_until

CLOSED = answer(200, {"status": "closed"})
STARTED = answer(200, {"observation": {}})
STEPPED = answer(200, {"observation": {}, "reward": 0, "done": False, "info": {}})
SESSION = answer(200, {"session": None})


@pytest.fixture
def worker():
    script = Script()
    yield script
    script.stop()


def created(worker_url: str | None, token: str | None = "for-e1-alone") -> bytes:
    return answer(201, {"env_id": "e1", "worker_url": worker_url, "env_token": token})


def opened(server, route) -> RemoteGymEnv:
    return RemoteGymEnv(server.url, env_dir="/there", token="cluster", route=route)


def calls(server) -> list[str]:
    return [seen.path.rpartition("/")[2] for seen in server.seen]


def tokens(server) -> set[str]:
    return {seen.headers["authorization"] for seen in server.seen}


def test_every_call_goes_through_the_master_unless_asked_otherwise(server, worker):
    server.then(created(worker.url), STARTED, CLOSED)
    with opened(server, "master") as env:
        env.reset()
        assert not env.is_straight
    assert (calls(server), calls(worker)) == (["create", "reset", "close"], [])


def test_straight_to_the_worker_with_the_environments_own_token_but_closed_through_the_master(server, worker):
    server.then(created(worker.url), CLOSED)
    worker.then(STARTED, STEPPED)
    with opened(server, "worker") as env:
        env.reset()
        env.step([])
        assert env.is_straight
    assert (calls(server), calls(worker)) == (["create", "close"], ["reset", "step"])
    assert (tokens(server), tokens(worker)) == ({"Bearer cluster"}, {"Bearer for-e1-alone"})


def test_a_master_that_names_no_worker_is_an_error_and_the_environment_is_closed(server):
    server.then(created(None), CLOSED)
    with pytest.raises(NotSupported, match="route='master'"):
        opened(server, "worker")
    assert calls(server) == ["create", "close"]


def test_auto_asks_the_worker_for_the_environment_and_goes_straight(server, worker):
    server.then(created(worker.url), CLOSED)
    worker.then(SESSION, STARTED)
    with opened(server, "auto") as env:
        env.reset()
    assert calls(worker) == ["session_info", "reset"]
    assert worker.connections == 1


@pytest.mark.parametrize("kind", ["none", "dead", "another's", "no url"])
def test_auto_goes_through_the_master_when_the_worker_is_not_in_reach(server, worker, dead_url, kind):
    worker.then(answer(404, {"error": "who?", "code": "env_not_found"}))
    urls = {"none": None, "dead": dead_url, "another's": worker.url, "no url": "localhost:x"}
    server.then(created(urls[kind]), STARTED, CLOSED)
    with opened(server, "auto") as env:
        env.reset()
        assert not env.is_straight
    assert calls(server) == ["create", "reset", "close"]


def test_auto_goes_on_through_the_master_once_the_worker_is_out_of_reach(server, worker):
    server.then(created(worker.url), STEPPED, STEPPED, CLOSED)
    worker.then(SESSION, STARTED)
    with opened(server, "auto") as env:
        env.reset()
        worker.stop()
        env.step([])
        assert not env.is_straight
        env.step([])
    assert calls(server) == ["create", "step", "step", "close"]


def test_auto_repeats_a_step_with_its_key_through_the_master_when_the_worker_is_gone_meanwhile(
    server, worker
):
    server.then(created(worker.url), STEPPED, CLOSED)
    worker.then(SESSION, HANG)
    with opened(server, "auto") as env, ThreadPoolExecutor(1) as pool:
        step = pool.submit(env.step, [])
        wait_until(lambda: len(worker.seen) == 2)
        worker.stop()
        step.result(10)
        assert not env.is_straight
    assert calls(server) == ["create", "step", "close"]
    assert server.keys[1] == worker.keys[1]


def test_straight_to_a_worker_that_is_gone_the_master_says_that_the_environment_is_lost(server, dead_url):
    server.then(created(dead_url), answer(410, {"error": "worker w1 died", "code": "env_lost"}), CLOSED)
    with opened(server, "worker") as env, pytest.raises(EnvLost, match="w1 died"):
        env.step([])
    assert calls(server) == ["create", "session_info", "close"]


def test_auto_never_makes_a_step_twice_where_keys_are_not_known(server, worker):
    server.then(created(worker.url, None), CLOSED)
    worker.then(SESSION, DROP)
    with opened(server, "auto") as env, pytest.raises(ConnectionFailed):
        env.step([])
    assert calls(server) == ["create", "close"]


def test_an_unknown_route_is_refused_before_anything_is_sent(dead_url):
    with pytest.raises(RequestInvalid, match="'auto'"):
        RemoteGymEnv(dead_url, env_dir="x", route="direct")  # type: ignore[arg-type]
