"""AsyncRemoteGymEnv against a real worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from gym_queue.client import AsyncRemoteGymEnv
from gym_queue.errors import EnvState, PathNotFound
from tests.service.client.conftest import ENV, TASK, TOKEN
from tests.service.client.test_remote import CLICK, live_envs


def test_an_environment_lives_its_whole_life(worker_url, env_dir, tmp_path):
    async def live():
        async with await AsyncRemoteGymEnv.from_config(worker_url, env_dir, "look", token=TOKEN) as env:
            assert env.task_description == "Look at the noise."
            assert (await env.get_episode_dir(), await env.get_session_info()) == (None, None)
            first = await env.reset(seed=3)
            seen, reward, done, info = await env.step(CLICK, 0)
            assert (reward, done, info["step"]) == (0.0, False, 0)
            assert not np.array_equal(first["screen"].image(), seen["screen"].image())
            assert (await env.capture_screenshot_image()).size == (320, 200)
            assert await env.get_runner_name() == "FakeRunner"
            await env.fetch_path("frame_00000.png", str(tmp_path / "frame.png"))
            cached = await env.fetch_path("frame_00000.png")
            with pytest.raises(PathNotFound):
                await env.fetch_path("nothing")
            await env.set_episode_limits(max_steps=2)
            assert (await env.step(CLICK, 0))[2]
            assert env.max_steps == 2
        with pytest.raises(EnvState):
            await env.step(CLICK)
        return env.env_id, cached

    env_id, cached = asyncio.run(live())
    assert not Path(cached).exists()
    assert (tmp_path / "frame.png").read_bytes().startswith(b"\x89PNG")
    assert env_id not in live_envs(worker_url)


def test_a_json_workers_screen_comes_with_the_reply(json_worker_url):
    async def look():
        async with await AsyncRemoteGymEnv.make(json_worker_url, ENV, TASK, token=TOKEN) as env:
            return await env.reset()

    assert asyncio.run(look())["screen"].image().shape == (200, 320, 3)


def test_a_step_that_is_cancelled_holds_up_neither_its_neighbours_nor_the_close(worker_url):
    async def cancel():
        slow = {**ENV, "fake": {"step_delay_s": 600}}
        async with (
            await AsyncRemoteGymEnv.make(worker_url, slow, token=TOKEN) as env,
            await AsyncRemoteGymEnv.make(worker_url, ENV, token=TOKEN) as neighbour,
        ):
            await asyncio.gather(env.reset(), neighbour.reset())
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await env.step(CLICK)
            assert (await neighbour.step(CLICK))[3]["step"] == 0
        return env.env_id

    assert asyncio.run(cancel()) not in live_envs(worker_url)
