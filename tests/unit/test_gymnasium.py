from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box
from gymnasium.utils.env_checker import check_env

import gym_queue
from gym_queue.errors import BadReply, RequestInvalid
from gym_queue.gymnasium import KEYS, KINDS, UNKNOWN, GymnasiumEnv, native_actions
from gym_queue.protocol.actions import check_on_screen, parse_actions
from gym_queue.runners.local.keys import encode_keys

SCREEN = {"type": "rgb_screen", "resolution": [64, 48]}
SPEC = {
    "id": "noise",
    "runner": "fake",
    "observation": [SCREEN, {"type": "cli_stdout"}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}


@pytest.fixture
def opened():
    """Opens environments of this process, closed with the test."""
    envs = []

    def open_one(task=None, **changes):
        envs.append(gym_queue.make({**SPEC, **changes}, task))
        return envs[-1]

    yield open_one
    for env in envs:
        env.close()


def act(env, kind, **fields):
    return env.step({**env.action_space.sample(), "kind": KINDS.index(kind), **fields})


@pytest.mark.parametrize("observation", [SPEC["observation"], [SCREEN], [{"type": "cli_stdout"}]])
def test_it_passes_gymnasiums_own_check(opened, observation):
    check_env(GymnasiumEnv(opened(observation=observation)), skip_render_check=True)


def test_a_screen_alone_is_a_box_and_text_makes_it_a_dict(opened):
    both, screen = GymnasiumEnv(opened()), GymnasiumEnv(opened(), text=False)
    assert both.observation_space.contains({"screen": np.zeros((48, 64, 3), np.uint8), "cli_stdout": "a\n"})
    assert screen.observation_space == Box(0, 255, (48, 64, 3), np.uint8)
    assert screen.reset()[0].shape == (48, 64, 3)


def test_an_episode_that_its_limits_end_is_truncated(opened):
    env = GymnasiumEnv(opened({"id": "t", "init": {"max_steps": 2}}))
    env.reset()
    assert act(env, "move")[2:4] == (False, False)
    assert act(env, "move")[2:4] == (False, True)


def test_an_episode_that_the_agent_ends_is_terminated(opened):
    env = GymnasiumEnv(opened())
    env.reset()
    _, reward, terminated, truncated, info = act(env, "done")
    assert (reward, terminated, truncated, info["reason"]) == (0.0, True, False, "Agent Completed")


def test_every_sample_of_the_action_space_is_an_action_on_the_screen(opened):
    space = GymnasiumEnv(opened()).action_space
    space.seed(1)
    kinds = set()
    for _ in range(300):
        sample = space.sample()
        kinds.add(int(sample["kind"]))
        check_on_screen(parse_actions(native_actions(sample)), (64, 48))
    assert kinds == set(range(len(KINDS)))


def test_every_key_is_a_key_of_a_terminal():
    assert all(encode_keys(key.split("+")) for key in KEYS)


def test_actions_in_the_environments_own_form_are_taken_as_they_are(opened):
    env = GymnasiumEnv(opened())
    env.reset()
    observation, *_ = env.step([{"keyboard": {"text": "a"}}, {"keyboard": {"text": "b"}}])
    assert observation["cli_stdout"] == "2 actions"


def test_text_outside_the_space_is_shown_as_unknown_and_whole_in_the_info(opened):
    class Talking:
        """An environment whose terminal shows more than the space holds."""

        def __init__(self, env):
            self.env_spec, self._env = env.env_spec, env

        def reset(self, **options):
            return {**self._env.reset(**options), "cli_stdout": {"text": "a\U0001f600\x07b"}}

    env = GymnasiumEnv(Talking(opened()))  # type: ignore[arg-type]
    observation, info = env.reset()
    assert observation in env.observation_space
    assert observation["cli_stdout"] == f"a{UNKNOWN}{UNKNOWN}b"
    assert info["cli_stdout"] == "a\U0001f600\x07b"


def test_an_environment_that_was_opened_anew_truncates_its_episode(opened):
    class Lost:
        """An environment that is lost in every step, and opened anew."""

        def __init__(self, env):
            self.env_spec, self._env = env.env_spec, env

        def reset(self, **options):
            return self._env.reset(**options)

        def step(self, actions, **options):
            return self.reset(), 0.0, False, {"recreated": True, "lost": "its worker died"}

    env = GymnasiumEnv(Lost(opened()))  # type: ignore[arg-type]
    env.reset()
    _, reward, terminated, truncated, info = env.step([])
    assert (reward, terminated, truncated, info["recreated"]) == (0.0, False, True, True)


def test_it_renders_the_last_screen(opened):
    env = GymnasiumEnv(opened(), render_mode="rgb_array")
    observation, _ = env.reset()
    assert (env.render() == observation["screen"]).all()
    assert GymnasiumEnv(opened()).render() is None


def test_a_screen_of_another_size_is_an_error_that_says_which(opened):
    env = GymnasiumEnv(opened(), resolution=(10, 10))
    with pytest.raises(BadReply, match=r"resolution=\(64, 48\)"):
        env.reset()


def test_an_environment_whose_spec_is_not_known_here_needs_a_resolution():
    class Unknown:
        env_spec = None

    with pytest.raises(RequestInvalid, match="resolution="):
        GymnasiumEnv(Unknown())  # type: ignore[arg-type]
