"""The clients over a whole fleet: through its master, and straight to its workers."""

from __future__ import annotations

import asyncio

import pytest
from gymnasium.utils.env_checker import check_env

from gym_queue import AsyncRemoteGymEnv, RemoteGymEnv, RemoteVectorEnv
from gym_queue.errors import EnvLost
from gym_queue.gymnasium import GymnasiumEnv
from tests.acceptance.conftest import fleet_at

SPEC = {
    "id": "noise",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}, {"type": "cli_stdout"}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}
TASK = {"id": "short", "init": {"max_steps": 2}}
CLICK = [{"mouse": {"left_click": [1, 2]}}]


@pytest.fixture
def fleet(place):
    with fleet_at(place, max_envs=8, worker_arguments=("--runners", "fake")) as running:
        yield running
    place.wait_empty()


@pytest.mark.parametrize("route", ["master", "worker", "auto"])
def test_sixteen_environments_step_at_once_and_begin_anew(fleet, route):
    config = {"remote_url": fleet.url, "env_spec": SPEC, "task_spec": TASK, "route": route}
    with RemoteVectorEnv([config] * 16, autoreset=True, raise_errors=True) as envs:
        assert {env.is_straight for env in envs.envs} == {route != "master"}
        assert {env.worker_url for env in envs.envs} == set(fleet.worker_urls)
        envs.reset(seed=1)
        ended = [envs.step([CLICK] * 16, 0).dones for _ in range(5)]
    assert ended == [[False] * 16, [True] * 16, [False] * 16, [False] * 16, [True] * 16]


@pytest.mark.parametrize("route", ["master", "worker"])
def test_an_environment_that_is_killed_is_lost_alone(fleet, place, route):
    config = {"remote_url": fleet.url, "env_spec": SPEC, "route": route}
    with RemoteVectorEnv([config] * 4) as envs:
        envs.reset()
        before = {each.pid for each in place.processes()}
        with RemoteVectorEnv([config]) as extra:
            (victim,) = [each for each in place.processes() if each.pid not in before]
            extra.reset()
            victim.kill()
            assert isinstance(extra.step([CLICK]).errors[0], EnvLost)
            assert envs.step([CLICK] * 4, 0).errors == [None] * 4


@pytest.mark.parametrize("route", ["master", "worker"])
def test_a_step_that_is_cancelled_leaves_the_others_alone(fleet, route):
    async def cancel():
        slow = {**SPEC, "fake": {"step_delay_s": 600}}
        async with (
            await AsyncRemoteGymEnv.make(fleet.url, slow, route=route) as env,
            await AsyncRemoteGymEnv.make(fleet.url, SPEC, route=route) as neighbour,
        ):
            await asyncio.gather(env.reset(), neighbour.reset())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await env.step(CLICK)
            return (await neighbour.step(CLICK, 0))[3]["step"]

    assert asyncio.run(cancel()) == 0


def test_gymnasiums_check_passes_through_the_master(fleet):
    with RemoteGymEnv.make(fleet.url, SPEC) as env:
        check_env(GymnasiumEnv(env), skip_render_check=True)
