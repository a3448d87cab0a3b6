"""Desktops behind a real master and worker: what a crash leaves, and what is said of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.errors import EnvLost, GymQueueError, RunnerFailed
from gym_queue.runners.docker.client import Daemon
from gym_queue.testing import Fleet, FleetSetup
from tests.docker.conftest import container_names
from tests.waiting import wait_until

TOKEN = "docker-fleet-token"
MOVE = [{"mouse": {"move": [30, 30]}}]


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    setup = FleetSetup(
        workers=1,
        max_envs=4,
        worker_arguments=("--runners", "docker", "--must-support-runner", "docker"),
        variables={"GYM_ANYTHING_TOKEN": TOKEN},
    )
    with Fleet(setup) as running:
        yield running


@pytest.fixture
def spec(daemon: Daemon, x11_image: str) -> dict[str, Any]:
    return {
        "id": "docker-fleet",
        "image": x11_image,
        "entrypoint": "/workspace/start_app.sh",
        "observation": [{"type": "rgb_screen", "resolution": [800, 600]}],
        "action": [{"type": "mouse"}, {"type": "keyboard"}],
    }


@pytest.fixture
def env(fleet: Fleet, spec: dict[str, Any]) -> Iterator[RemoteGymEnv]:
    opened = RemoteGymEnv(fleet.url, spec, token=TOKEN)
    opened.reset()
    yield opened
    opened.close()


def test_a_desktop_is_driven_through_master_and_worker(env: RemoteGymEnv, daemon: Daemon) -> None:
    session = env.get_session_info()
    assert session is not None
    assert [session.container_name] == container_names(daemon, env.env_id)
    first = env.step(MOVE)[0]["screen"].png()
    assert env.step([{"keyboard": {"text": "echo seen\n"}}])[0]["screen"].png() != first
    env.close()
    assert container_names(daemon, env.env_id) == []


def test_a_container_that_dies_fails_the_step_and_a_reset_makes_another(
    env: RemoteGymEnv, daemon: Daemon
) -> None:
    daemon.sdk.containers.get(container_names(daemon, env.env_id)[0]).kill()
    with pytest.raises(RunnerFailed, match="has ended"):
        env.step(MOVE)
    env.reset()
    env.step(MOVE)


def test_an_env_process_that_is_killed_takes_its_container_with_it(env: RemoteGymEnv, daemon: Daemon) -> None:
    container = daemon.sdk.containers.get(container_names(daemon, env.env_id)[0])
    os.kill(int(container.labels["gym-queue.pid"]), signal.SIGKILL)
    with pytest.raises(GymQueueError) as raised:
        env.step(MOVE)
    assert isinstance(raised.value, EnvLost | RunnerFailed)
    wait_until(lambda: container_names(daemon, env.env_id) == [])


def test_a_worker_that_is_killed_leaves_no_container(
    fleet: Fleet, spec: dict[str, Any], daemon: Daemon
) -> None:
    env = RemoteGymEnv(fleet.url, spec, token=TOKEN)
    env.reset()
    fleet.kill_worker(0)
    with pytest.raises(EnvLost):
        env.step(MOVE)
    wait_until(lambda: container_names(daemon, env.env_id) == [])
    env.close()
    fleet.restart_worker(0)
    with RemoteGymEnv(fleet.url, spec, token=TOKEN) as other:
        other.reset()
        other.step(MOVE)
