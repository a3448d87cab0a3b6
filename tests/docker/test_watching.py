"""A desktop in a container is watched through master and worker, while it changes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import httpx
import pytest
from PIL import Image

from gym_queue.client import RemoteGymEnv
from gym_queue.runners.docker.client import Daemon
from gym_queue.testing import Fleet, FleetSetup
from tests.waiting import wait_until

TOKEN = "docker-watching-token"
TYPED = [{"keyboard": {"text": "sleep 1; echo seen\n"}}]


@pytest.fixture(scope="module")
def fleet(daemon: Daemon) -> Iterator[Fleet]:
    setup = FleetSetup(
        workers=1,
        worker_arguments=("--runners", "docker", "--must-support-runner", "docker"),
        variables={"GYM_ANYTHING_TOKEN": TOKEN},
    )
    with Fleet(setup) as running:
        yield running


def spec(image: str) -> dict[str, Any]:
    return {
        "id": "docker-watching",
        "image": image,
        "entrypoint": "/workspace/start_app.sh",
        "observation": [{"type": "rgb_screen", "resolution": [640, 480]}],
        "action": [{"type": "mouse"}, {"type": "keyboard"}],
        "resources": {"net": False},
    }


@pytest.fixture
def env(fleet: Fleet, x11_image: str) -> Iterator[RemoteGymEnv]:
    opened = RemoteGymEnv(fleet.url, spec(x11_image), token=TOKEN)
    opened.reset()
    yield opened
    opened.close()


def test_the_screen_is_seen_as_it_is_now(fleet: Fleet, env: RemoteGymEnv) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=fleet.url, headers=headers, timeout=30) as client:

        def look(query: str = "", tag: str = "") -> httpx.Response:
            return client.get(f"/envs/{env.env_id}/screen{query}", headers={"If-None-Match": tag})

        first = look("?width=320&format=png")
        assert Image.open(BytesIO(first.content)).size == (320, 240)
        assert first.headers["x-screen-size"] == "640x480"
        env.step(TYPED, capture_observation=False)
        after_step = look()
        assert after_step.status_code == 200
        wait_until(lambda: look(tag=after_step.headers["etag"]).status_code == 200)  # no step since
        env.reset()
        assert look().status_code == 200
