"""What every runner must do, done by a desktop in a container."""

from __future__ import annotations

from functools import partial

import pytest

from gym_queue.names import RUNNERS
from gym_queue.runners.docker.client import Daemon
from gym_queue.runners.docker.runner import DockerRunner
from gym_queue.runners.owner import ENV
from gym_queue.testing.conformance import RunnerConformance, Subject
from tests.docker.conftest import container_names, make_spec


def commands_inside(daemon: Daemon, env_id: str) -> list[str]:
    found = daemon.sdk.containers.list(filters={"label": f"{ENV}={env_id}"}, ignore_removed=True)
    return [" ".join(process[-1:]) for each in found for process in each.top()["Processes"]]


def kill(daemon: Daemon, env_id: str) -> None:
    for each in daemon.sdk.containers.list(filters={"label": f"{ENV}={env_id}"}, ignore_removed=True):
        each.kill()


class TestDocker(RunnerConformance):
    @pytest.fixture
    def subject(self, daemon: Daemon, x11_image: str) -> Subject:
        fields = {
            "image": x11_image,
            "entrypoint": "/workspace/start_app.sh",
            "observation": [{"type": "rgb_screen", "resolution": [1024, 768]}],
            "security": {"user": "1000:1000"},  # root without its capabilities cannot start an xterm
        }
        return Subject(
            RUNNERS["docker"],
            make_spec(fields),
            DockerRunner,
            partial(commands_inside, daemon),
            find_leftovers=partial(container_names, daemon),
            kill=partial(kill, daemon),
            seeded=False,
        )
