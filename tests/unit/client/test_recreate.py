"""What a client does when its environment is lost."""

from __future__ import annotations

import asyncio

import pytest

from gym_queue.client import AsyncRemoteGymEnv, RemoteGymEnv, RemoteVectorEnv
from gym_queue.errors import EnvLost, EnvTimeout, NoCapacity
from tests.unit.client.conftest import answer

LOST = answer(410, {"error": "worker w1 died", "code": "env_lost"})
HUNG = answer(504, {"error": "step took longer than 900 s; the environment was ended", "code": "env_timeout"})
FULL = answer(503, {"error": "full", "code": "no_capacity"})
FIRST = answer(200, {"observation": {"cli_stdout": {"text": "first"}}})
STEPPED = answer(200, {"observation": {}, "reward": 1, "done": False, "info": {"step": 0}})
CLOSED = answer(200, {"status": "closed"})
OBSERVATION = {"cli_stdout": {"text": "first"}}


def created(env_id: str) -> bytes:
    return answer(201, {"env_id": env_id, "worker_id": f"of-{env_id}", "env_token": "t"})


def opened(server, **options) -> RemoteGymEnv:
    return RemoteGymEnv(server.url, env_dir="/there", token="t", **{"on_lost": "recreate", **options})


def calls(server) -> list[str]:
    return [seen.path.removeprefix("/envs/") for seen in server.seen]


def test_a_lost_environment_is_an_error_unless_asked_otherwise(server):
    server.then(created("a"), FIRST, LOST, LOST, CLOSED)
    with opened(server, on_lost="raise") as env:
        env.reset()
        for _ in range(2):
            with pytest.raises(EnvLost, match="w1 died"):
                env.step([])
    assert calls(server) == ["create", "a/reset", "a/step", "a/step", "a/close"]


@pytest.mark.parametrize("loss", [LOST, HUNG])
def test_a_step_of_a_lost_environment_answers_with_the_first_observation_of_another(server, loss):
    server.then(created("a"), FIRST, loss, created("b"), FIRST, STEPPED, CLOSED)
    with opened(server, env_id="a", priority=3) as env:
        env.reset(seed=7, use_cache=True)
        observation, reward, done, info = env.step([])
        assert (observation, reward, done, info["recreated"]) == (OBSERVATION, 0.0, False, True)
        assert "died" in info["lost"] or "longer" in info["lost"]
        assert (env.env_id, env.worker_id, env.recreations) == ("b", "of-b", 1)
        assert env.step([])[1] == 1
    assert calls(server) == ["create", "a/reset", "a/step", "create", "b/reset", "b/step", "b/close"]
    first, second = (seen.body for seen in server.seen if seen.path == "/envs/create")
    assert second.pop("env_id") != first.pop("env_id")
    assert first == second
    resets = [seen.body for seen in server.seen if seen.path.endswith("reset")]
    assert resets[0] == resets[1]
    assert resets[0]["seed"] == 7
    assert len(set(server.keys)) == len(server.keys)


def test_a_reset_of_a_lost_environment_resets_another(server):
    server.then(created("a"), LOST, created("b"), FIRST, CLOSED)
    with opened(server) as env:
        assert env.reset(seed=1) == OBSERVATION
        assert env.recreations == 1


def test_an_observation_of_a_lost_environment_is_the_first_of_another(server):
    server.then(created("a"), FIRST, LOST, created("b"), FIRST, CLOSED)
    with opened(server) as env:
        env.reset()
        assert env.capture_observation() == OBSERVATION
        assert env.env_id == "b"


def test_the_limits_hold_in_the_new_environment_too(server):
    server.then(created("a"), answer(), answer(), FIRST, LOST, created("b"), answer(), FIRST, CLOSED)
    with opened(server) as env:
        env.set_episode_limits(max_steps=7)
        env.set_episode_limits(timeout_sec=60)
        env.reset()
        env.step([])
    assert calls(server)[5:] == ["create", "b/episode_limits", "b/reset", "b/close"]
    assert server.seen[6].body == {"max_steps": 7, "timeout_sec": 60}


def test_after_three_in_one_episode_the_loss_is_raised_and_the_next_reset_begins_anew(server):
    again = [each for name in "bcd" for each in (created(name), FIRST, LOST)]
    server.then(created("a"), FIRST, LOST, *again, LOST, created("e"), FIRST, CLOSED)
    with opened(server) as env:
        env.reset()
        for _ in range(3):
            assert env.step([])[3]["recreated"]
        with pytest.raises(EnvLost):
            env.step([])
        env.reset()
        assert (env.env_id, env.recreations) == ("e", 4)


def test_environments_that_are_lost_in_their_reset_count_too(server):
    server.then(created("a"), FIRST, LOST, *[each for name in "bcd" for each in (created(name), LOST)], LOST)
    with opened(server) as env:
        env.reset()
        with pytest.raises(EnvLost):
            env.step([])
        assert env.recreations == 3


def test_before_the_first_reset_there_is_nothing_to_begin_anew(server):
    server.then(created("a"), LOST, LOST)
    with opened(server) as env, pytest.raises(EnvLost):
        env.step([])


def test_when_no_other_can_be_opened_that_is_the_error_and_the_next_step_tries_again(server):
    server.then(created("a"), FIRST, LOST, FULL, answer(), LOST, created("c"), FIRST, CLOSED)
    with opened(server) as env:
        env.reset()
        with pytest.raises(NoCapacity) as caught:
            env.step([])
        assert isinstance(caught.value.__context__, EnvLost)
        assert env.step([])[3]["recreated"]


def test_a_hung_step_raises_its_own_error_by_default(server):
    server.then(created("a"), FIRST, HUNG, LOST)
    with opened(server, on_lost="raise") as env:
        env.reset()
        with pytest.raises(EnvTimeout):
            env.step([])


def test_of_two_calls_that_find_the_loss_one_begins_anew(server):
    async def both():
        env = await AsyncRemoteGymEnv.open(server.url, env_dir="/there", token="t", on_lost="recreate")
        async with env:
            await env.reset()
            calls = env.step([]), env.capture_observation()
            return await asyncio.gather(*calls, return_exceptions=True)

    server.always["capture_observation"] = LOST
    server.then(created("a"), FIRST, LOST, created("b"), FIRST, CLOSED)
    results = asyncio.run(both())
    assert sum(isinstance(each, EnvLost) for each in results) == 1
    assert calls(server).count("create") == 2


def test_in_a_vector_only_the_lost_one_begins_anew(server):
    server.then(created("a"), FIRST, LOST, created("b"), FIRST, CLOSED)
    config = {"remote_url": server.url, "env_dir": "/there", "token": "t", "on_lost": "recreate"}
    with RemoteVectorEnv([config]) as envs:
        envs.reset(seed=3)
        observations, rewards, dones, infos = envs.step([[]])
        assert (observations, rewards, dones) == ([OBSERVATION], [0.0], [False])
        assert infos[0]["recreated"]
