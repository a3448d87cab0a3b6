from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gym_queue.env.episode import Episode, EpisodeState
from gym_queue.errors import EnvState, GymQueueError
from gym_queue.runners.base import Runner, RunnerSetup
from gym_queue.runners.registry import open_runner
from tests.unit.env.conftest import Lab, reset, step

Call = Callable[[Episode], Any]


@pytest.mark.parametrize(
    "call",
    [
        reset,
        step,
        lambda episode: episode.capture_observation(),
        lambda episode: episode.trajectory_event({"event": "note"}),
    ],
)
def test_a_closed_environment_says_so(lab: Lab, call: Call) -> None:
    episode = lab.open()
    reset(episode)
    episode.close()
    with pytest.raises(EnvState):
        call(episode)


def test_close_may_come_twice_and_before_a_reset(lab: Lab) -> None:
    episode = lab.open()
    episode.close()
    episode.close()
    assert episode.state is EpisodeState.CLOSED


def test_close_leaves_nothing_of_the_sandbox(lab: Lab) -> None:
    episode = lab.open(env={"reset_script": "setsid sleep 1000 >/dev/null 2>&1 & disown"})
    reset(episode)
    assert lab.remains()
    episode.close()
    assert lab.remains() == []
    assert episode.episode_dir is not None
    assert episode.episode_dir.is_dir()


def close_during(lab: Lab, episode: Episode, call: Call, started: threading.Event) -> None:
    """Close the episode once ``started`` is set by the call, which must then end with a typed error."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(call, episode)
        assert started.wait(10)
        episode.close()
        assert isinstance(running.exception(timeout=10), GymQueueError)
    assert episode.state is EpisodeState.CLOSED
    assert lab.remains() == []


class Signalling:
    """Opens fake runners whose named method tells that it was called."""

    def __init__(self, method: str) -> None:
        self.called = threading.Event()
        self._method = method

    def open(self, name: str, setup: RunnerSetup) -> Runner:
        runner = open_runner(name, setup)
        inner = getattr(runner, self._method)

        def outer(*args: Any, **kwargs: Any) -> Any:
            self.called.set()
            return inner(*args, **kwargs)

        setattr(runner, self._method, outer)
        return runner


def test_close_ends_a_long_start(lab: Lab) -> None:
    runners = Signalling("start")
    episode = lab.open(env={"fake": {"create_delay_s": 1000}}, open_runner=runners.open)
    close_during(lab, episode, reset, runners.called)


def test_close_ends_a_long_hook(lab: Lab) -> None:
    runners = Signalling("exec")
    episode = lab.open(env={"reset_script": "sleep 1000"}, open_runner=runners.open)
    close_during(lab, episode, reset, runners.called)


def test_close_ends_a_long_action(lab: Lab) -> None:
    runners = Signalling("act")
    episode = lab.open(env={"fake": {"step_delay_s": 1000}}, open_runner=runners.open)
    reset(episode)
    close_during(lab, episode, lambda e: step(e, {"mouse": {"move": [1, 1]}}), runners.called)


def test_close_ends_a_long_wait(lab: Lab) -> None:
    runners = Signalling("act")
    episode = lab.open(open_runner=runners.open)
    reset(episode)
    wait = {"mouse": {"move": [1, 1]}, "action": "wait", "time": 600}
    close_during(lab, episode, lambda e: step(e, wait), runners.called)


def test_close_ends_a_verifier_that_hangs(lab: Lab) -> None:
    runners = Signalling("exec")
    hangs = "env_info['exec_capture']('true'); __import__('time').sleep(1000)"
    episode = lab.open(open_runner=runners.open, verifier=hangs)
    reset(episode)
    close_during(lab, episode, lambda e: step(e, mark_done=True), runners.called)


def test_close_ends_a_daemon_that_a_verifier_left(lab: Lab) -> None:
    daemon = "__import__('subprocess').run('setsid sleep 1000 >/dev/null 2>&1 &', shell=True); return {'passed': True}"
    episode = lab.open(verifier=daemon)
    reset(episode)
    assert step(episode, mark_done=True)["reward"] == 1.0
    episode.close()
    assert lab.remains() == []
