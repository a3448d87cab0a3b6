"""A real Docker daemon, and images that tests/images/build.sh makes; what lacks is skipped or, when required, fails."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

docker = pytest.importorskip("docker")

from gym_queue.errors import GymQueueError  # noqa: E402  (the SDK is optional)
from gym_queue.runners.base import RunnerSetup  # noqa: E402
from gym_queue.runners.docker.client import Daemon  # noqa: E402
from gym_queue.runners.docker.runner import DockerRunner  # noqa: E402
from gym_queue.runners.owner import ENV  # noqa: E402
from gym_queue.specs.env import EnvSpec  # noqa: E402

BASE_IMAGE = os.environ.get("GYM_QUEUE_TEST_IMAGE", "gym-queue-test/debian:bookworm")
X11_IMAGE = os.environ.get("GYM_QUEUE_TEST_X11_IMAGE", "gym-queue-test/x11-lite:latest")
MakeRunner = Callable[..., DockerRunner]


def lacking(reason: str) -> None:
    if "docker" in os.environ.get("GYM_QUEUE_REQUIRE", "").split(","):
        pytest.fail(f"{reason}, and GYM_QUEUE_REQUIRE names docker")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    found = Daemon()
    try:
        found.sdk.ping()
    except GymQueueError as error:
        lacking(str(error))
    yield found
    found.close()


@pytest.fixture(scope="session")
def image(daemon: Daemon) -> str:
    return _need_image(daemon, BASE_IMAGE, "base")


@pytest.fixture(scope="session")
def x11_image(daemon: Daemon) -> str:
    return _need_image(daemon, X11_IMAGE, "x11-lite")


def _need_image(daemon: Daemon, name: str, target: str) -> str:
    try:
        daemon.sdk.images.get(name)
    except docker.errors.ImageNotFound:
        lacking(f"there is no image {name}: run tests/images/build.sh {target}")
    return name


def container_names(daemon: Daemon, env_id: str) -> list[str]:
    """Return the names of an environment's containers, running or not."""
    return [
        str(each.name)
        for name in (env_id, own(env_id))
        for each in daemon.sdk.containers.list(
            all=True, filters={"label": f"{ENV}={name}"}, ignore_removed=True
        )
    ]


def own(env_id: str) -> str:
    """Return the env id as this process' runners bear it: others run the same tests on the same daemon."""
    return f"{env_id}-{os.getpid()}"


def make_spec(fields: Mapping[str, Any]) -> EnvSpec:
    shown = {
        "id": "docker-test",
        "observation": [{"type": "cli_stdout"}],
        "action": [{"type": "mouse"}, {"type": "keyboard"}],
        "resources": {"net": False},
        "security": {"user": "root"},
    }
    return EnvSpec.model_validate({**shown, **fields})


@pytest.fixture
def make(daemon: Daemon, image: str, tmp_path: Path) -> Iterator[MakeRunner]:
    """Give a function that makes a runner of a spec's fields, not started yet; all are closed afterwards."""
    made: list[DockerRunner] = []

    def make_runner(
        env_id: str = "docker-test", *, env_dir: Path | None = None, **fields: Any
    ) -> DockerRunner:
        work_dir = tmp_path / f"work{len(made)}"
        work_dir.mkdir()
        spec = make_spec({**({} if "dockerfile" in fields else {"image": image}), **fields})
        made.append(DockerRunner(RunnerSetup(own(env_id), spec, env_dir, work_dir, 1)))
        return made[-1]

    yield make_runner
    for runner in made:
        runner.close()


@pytest.fixture
def runner(make: MakeRunner) -> DockerRunner:
    runner = make()
    runner.start()
    return runner
