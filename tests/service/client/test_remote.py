"""RemoteGymEnv against a real worker, its fork server and env processes; the sandbox is the ``fake`` runner's."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.errors import (
    ActionInvalid,
    EnvLost,
    EnvNotFound,
    EnvState,
    Forbidden,
    NoCapacity,
    NotSupported,
    PathNotFound,
    RequestInvalid,
    RunnerUnavailable,
    SpecNotFound,
    Unauthorized,
)
from tests.service.client.conftest import ENV, TASK, TOKEN, running_worker

CLICK = [{"mouse": {"left_click": [10, 20]}}]


def live_envs(url):
    reply = httpx.get(f"{url}/envs/list", headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
    return reply.json()["environments"]


def env_processes():
    """The env processes of the workers that run in this process."""
    servers = [
        each for each in psutil.Process().children() if "gym_queue.worker.forkserver" in each.cmdline()
    ]
    return [child for each in servers for child in each.children()]


def test_an_environment_lives_its_whole_life(open_env, worker_url):
    env = open_env(metadata={"run": 7})
    assert live_envs(worker_url)[env.env_id]["metadata"] == {"run": 7}
    assert (env.worker_id, env.worker_url, env.task_description) == ("w1", worker_url, "Look at the noise.")
    first = env.reset(seed=3)
    observation, reward, done, info = env.step(CLICK, wait_between_actions=0)
    assert (reward, done, info["step"]) == (0.0, False, 0)
    assert observation["cli_stdout"]["text"] == "1 actions"
    for seen in (first, observation, env.capture_observation()):
        pixels = seen["screen"].image()
        assert (pixels.shape, pixels.dtype) == ((200, 320, 3), np.uint8)
    assert not np.array_equal(first["screen"].image(), observation["screen"].image())
    _, _, done, info = env.step([], mark_done=True)
    assert (done, info["reason"]) == (True, "Agent Completed")
    env.close()
    assert env.env_id not in live_envs(worker_url)


def test_the_same_seed_shows_the_same_pixels(open_env):
    env = open_env()
    first, again, other = (env.reset(seed=seed)["screen"].png() for seed in (1, 1, np.int64(2)))
    assert first == again
    assert first != other


def test_the_screen_comes_with_the_reply_and_needs_no_second_call(open_env):
    env = open_env()
    screen = env.reset()["screen"]
    env.close()
    assert screen.image().shape == (200, 320, 3)


def test_a_worker_that_knows_only_json_has_its_png_fetched_when_it_is_asked_for(open_env, json_worker_url):
    env = open_env(json_worker_url)
    screen = env.reset(seed=5)["screen"]
    assert "png_b64" not in screen
    assert screen.image().shape == (200, 320, 3)
    assert Path(screen["path"]).read_bytes() == screen.png()
    later = env.step(CLICK)[0]["screen"]
    env.close()
    assert screen.image().shape == (200, 320, 3)
    with pytest.raises(EnvState):
        later.png()


def test_a_spec_that_asks_for_inline_screens_gets_them_in_json(json_worker_url):
    spec = {**ENV, "observation": [{"type": "rgb_screen", "resolution": [64, 48], "inline": True}]}
    with RemoteGymEnv.make(json_worker_url, spec, TASK, token=TOKEN) as env:
        screen = env.reset()["screen"]
    assert screen.image().shape == (48, 64, 3)


def test_environments_that_ship_are_opened_by_name(worker_url):
    by_name = RemoteGymEnv.from_config(worker_url, "terminal_env", "top_ip", runner="fake", token=TOKEN)
    by_benchmark = RemoteGymEnv.from_benchmark(
        worker_url, "b", "terminal_env", "top_ip", runner="fake", token=TOKEN
    )
    for env in (by_name, by_benchmark):
        assert env.task_description
        env.close()


def test_a_screenshot_is_an_image(open_env):
    env = open_env()
    env.reset()
    image = env.capture_screenshot_image()
    assert (image.size, image.mode) == ((320, 200), "RGB")


def test_the_episodes_files_can_be_fetched(open_env, tmp_path):
    env = open_env()
    env.reset(seed=1)
    env.log_trajectory_event({"event": "note", "text": "händisch"})
    frame = env.fetch_path("frame_00000.png")
    trajectory = env.fetch_path(f"{env.episode_dir}/traj.jsonl", str(tmp_path / "t.jsonl"))
    assert Path(frame).read_bytes().startswith(b"\x89PNG")
    events = [json.loads(line) for line in Path(trajectory).read_text().splitlines()]
    assert events[-1]["text"] == "händisch"
    with pytest.raises(PathNotFound):
        env.fetch_path("no_such_file")
    with pytest.raises(Forbidden):
        env.fetch_path("/etc/hostname")
    env.close()
    assert not Path(frame).exists()


def test_files_of_the_worker_go_into_the_sandbox_and_come_back(open_env):
    env = open_env()
    env.reset()
    env.copy_to_env("traj.jsonl", "copied.txt")
    env.copy_from_env("copied.txt", "back.txt")
    assert Path(env.fetch_path("back.txt")).read_text().startswith("{")


def test_session_info_follows_the_episodes(open_env):
    env = open_env()
    assert (env.get_session_info(), env.episode_dir, env.runner_name) == (None, None, None)
    env.reset()
    first = env.episode_dir
    assert env.runner_name == "FakeRunner"
    assert env.get_session_info().resolution == (320, 200)
    env.reset()
    assert env.episode_dir != first


def test_the_limits_end_the_episode(open_env):
    env = open_env()
    assert (env.max_steps, env.timeout_sec) == (50, 600)
    env.reset()
    env.set_episode_limits(max_steps=2)
    assert env.max_steps == 2
    assert [env.step(CLICK, wait_between_actions=0)[2] for _ in range(2)] == [False, True]


def test_an_unknown_action_key_is_refused_in_the_servers_words(open_env):
    env = open_env()
    env.reset()
    with pytest.raises(ActionInvalid, match=r"actions\[1\]: mouse\.left_clik: unknown key") as caught:
        env.step([*CLICK, {"mouse": {"left_clik": [1, 2]}}])
    assert caught.value.details["key"] == "mouse.left_clik"
    assert caught.value.details["request_id"]
    assert env.step(CLICK)[3]["step"] == 0


def test_a_step_before_reset_or_after_done_does_not_fit(open_env):
    env = open_env()
    with pytest.raises(EnvState, match="call reset first"):
        env.step(CLICK)
    env.reset()
    env.step([], mark_done=True)
    with pytest.raises(EnvState, match="call reset first"):
        env.step(CLICK)


@pytest.mark.parametrize("name", ["pause_recording", "resume_recording"])
def test_a_recording_is_paused_only_where_there_is_one(open_env, name):
    env = open_env()
    with pytest.raises(EnvState, match="call reset first"):
        getattr(env, name)()
    env.reset()
    with pytest.raises(NotSupported, match="no video"):
        getattr(env, name)()


def test_a_state_is_saved_and_loaded(open_env):
    env = open_env()
    env.reset()
    path = env.save_state()
    assert path is not None
    env.load_state(path)
    with pytest.raises(Forbidden, match="outside"):
        env.load_state("/etc/passwd")


def test_an_unknown_env_dir_is_not_found_and_holds_no_slot(worker_url):
    before = len(live_envs(worker_url))
    with pytest.raises(SpecNotFound, match="/no/such/env"):
        RemoteGymEnv.from_config(worker_url, "/no/such/env", token=TOKEN)
    assert len(live_envs(worker_url)) == before


def test_an_env_of_this_worker_that_wants_another_runner_says_which(open_env):
    with pytest.raises(RunnerUnavailable, match="docker"):
        open_env(runner="docker")


@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_wrong_token_is_refused_with_the_remedy(open_env, token):
    with pytest.raises(Unauthorized, match="GYM_ANYTHING_TOKEN"):
        open_env(token=token)


def test_the_same_env_id_is_the_same_environment(open_env, worker_url):
    first, second = open_env(env_id="chosen"), open_env(env_id="chosen")
    assert first.env_id == second.env_id == "chosen"
    assert list(live_envs(worker_url)).count("chosen") == 1
    first.close()
    with pytest.raises(EnvNotFound):
        second.reset()


def test_an_env_id_that_is_a_path_is_refused(open_env):
    with pytest.raises(RequestInvalid, match="env_id"):
        open_env(env_id="../x")


def test_a_killed_environment_is_lost_and_its_neighbour_lives_on(open_env):
    neighbour = open_env()
    neighbour.reset()
    before = {each.pid for each in env_processes()}
    env = open_env()
    env.reset()
    (process,) = [each for each in env_processes() if each.pid not in before]
    process.kill()
    process.wait(10)
    for _ in range(3):
        with pytest.raises(EnvLost, match=env.env_id):
            env.step(CLICK)
    assert neighbour.step(CLICK)[3]["step"] == 0


def test_a_killed_environment_is_opened_anew_where_that_was_asked_for(open_env):
    before = {each.pid for each in env_processes()}
    env = open_env(on_lost="recreate")
    first = env.reset(seed=3)["screen"].png()
    env.step(CLICK)
    victim = env.env_id
    (process,) = [each for each in env_processes() if each.pid not in before]
    process.kill()
    process.wait(10)
    observation, reward, done, info = env.step(CLICK)
    assert (reward, done, info["recreated"]) == (0.0, False, True)
    assert observation["screen"].png() == first
    assert env.env_id != victim
    assert victim in info["lost"]
    assert env.step(CLICK)[3]["step"] == 0


def test_an_environment_that_is_killed_inside_a_call_is_lost_at_once(open_env, worker_url):
    slow = {**ENV, "fake": {"step_delay_s": 600}}
    before = {each.pid for each in env_processes()}
    with RemoteGymEnv.make(worker_url, slow, token=TOKEN) as env, ThreadPoolExecutor(1) as pool:
        env.reset()
        (process,) = [each for each in env_processes() if each.pid not in before]
        stepping = pool.submit(env.step, CLICK)
        process.kill()
        with pytest.raises(EnvLost, match=env.env_id):
            stepping.result(60)


def test_two_environments_do_not_mix(open_env):
    envs = [open_env() for _ in range(2)]

    def play(env, seed):
        shown = [env.reset(seed=seed)["screen"].png()]
        return shown + [env.step(CLICK, wait_between_actions=0)[0]["screen"].png() for _ in range(20)]

    with ThreadPoolExecutor(2) as pool:
        at_once = list(pool.map(play, envs, [1, 2]))
    alone = [play(env, seed) for env, seed in zip(envs, [1, 2], strict=True)]
    assert at_once == alone
    assert at_once[0] != at_once[1]


def test_a_full_worker_says_so_and_a_caller_who_waits_gets_the_slot_that_falls_free(env_dir):
    def open_one(**options):
        return RemoteGymEnv.from_config(url, env_dir, token=TOKEN, timeout=60, **options)

    with running_worker(lambda app: app, max_envs=1) as url, ThreadPoolExecutor(1) as pool:
        first = open_one()
        with pytest.raises(NoCapacity, match="slots"):
            open_one()
        waiting = pool.submit(open_one, queue_timeout_s=60)
        first.close()
        waiting.result(60).close()
