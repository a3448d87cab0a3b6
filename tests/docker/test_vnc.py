"""A desktop is watched through master and worker, by RFB over a WebSocket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from gym_queue.client import RemoteGymEnv
from gym_queue.errors import PathNotFound
from gym_queue.runners.docker.client import Daemon
from gym_queue.testing import Fleet, FleetSetup
from tests.viewer import NONE, VNC_AUTH, Viewer
from tests.waiting import wait_until

TOKEN = "docker-vnc-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TYPED = [{"keyboard": {"text": "echo seen\n"}}]


@pytest.fixture(scope="module")
def fleet(daemon: Daemon) -> Iterator[Fleet]:
    setup = FleetSetup(
        workers=1,
        max_envs=4,
        worker_arguments=("--runners", "docker", "--must-support-runner", "docker"),
        variables={"GYM_ANYTHING_TOKEN": TOKEN},
    )
    with Fleet(setup) as running:
        yield running


def spec(image: str, **vnc: Any) -> dict[str, Any]:
    return {
        "id": "docker-vnc",
        "image": image,
        "entrypoint": "/workspace/start_app.sh",
        "observation": [{"type": "rgb_screen", "resolution": [640, 480]}],
        "action": [{"type": "mouse"}, {"type": "keyboard"}],
        "resources": {"net": False},
        "vnc": {"enable": True, **vnc},
    }


@pytest.fixture
def env(fleet: Fleet, x11_image: str) -> Iterator[RemoteGymEnv]:
    opened = RemoteGymEnv(fleet.url, spec(x11_image), token=TOKEN)
    opened.reset()
    yield opened
    opened.close()


def watch(fleet: Fleet, env: RemoteGymEnv, query: str = "", **fields: Any) -> Viewer:
    url = f"{fleet.url.replace('http', 'ws')}/envs/{env.env_id}/vnc{query}"
    return Viewer(url, BEARER, **fields)


def is_there(env: RemoteGymEnv, inside: str, local: Path) -> bool:
    try:
        env.download(inside, local)
    except PathNotFound:
        return False
    return True


def test_a_viewer_sees_the_desktop_and_what_changes_on_it(fleet: Fleet, env: RemoteGymEnv) -> None:
    with watch(fleet, env, subprotocols=["binary"]) as viewer:
        assert viewer.socket.subprotocol == "binary"
        assert (viewer.width, viewer.height, viewer.security) == (640, 480, NONE)
        first = viewer.look()
        assert len(set(map(tuple, first[::7, ::7, :3].reshape(-1, 3)))) > 1
        env.step(TYPED)
        while (viewer.look(incremental=True) == first).all():
            continue  # an update may draw again what was there; one that never comes fails by itself


def test_what_a_viewer_does_is_ignored(fleet: Fleet, env: RemoteGymEnv, tmp_path: Path) -> None:
    env.step([{"keyboard": {"text": "touch ready; exec cat\n"}}])  # which prompts for nothing by and by
    wait_until(lambda: is_there(env, "ready", tmp_path / "ready"))
    before = env.capture_observation()["screen"].png()
    with watch(fleet, env) as viewer:
        viewer.look()
        for letter in "nobody":
            viewer.press(ord(letter))
        viewer.point(600, 400, buttons=1)
        viewer.look()  # answered after the keys, which came before
        assert env.capture_observation()["screen"].png() == before
    with pytest.raises(InvalidStatus) as refused:
        watch(fleet, env, "?view_only=0")
    assert refused.value.response.status_code == 403


def test_a_viewer_acts_where_the_spec_lets_it_and_gives_its_password(fleet: Fleet, x11_image: str) -> None:
    env = RemoteGymEnv(fleet.url, spec(x11_image, view_only=False, password="hunter2"), token=TOKEN)
    env.reset()
    session = env.get_session_info()
    assert session is not None
    assert (session.vnc_url, session.vnc_password) == (f"/envs/{env.env_id}/vnc", "hunter2")
    with pytest.raises((PermissionError, ConnectionClosed)):
        watch(fleet, env, "?view_only=0", password="wrong")
    before = env.capture_observation()["screen"].png()
    with watch(fleet, env, "?view_only=0", password="hunter2") as viewer:
        assert viewer.security == VNC_AUTH
        seen = viewer.look()
        for letter in "acted":
            viewer.press(ord(letter))
        while not (viewer.look(incremental=True) != seen).any():
            pass
        assert env.capture_observation()["screen"].png() != before
    env.close()


def test_a_browser_comes_with_a_ticket_and_goes_with_the_environment(fleet: Fleet, env: RemoteGymEnv) -> None:
    reply = httpx.post(f"{fleet.url}/envs/{env.env_id}/vnc_ticket", headers=BEARER)
    url = f"{fleet.url.replace('http', 'ws')}/envs/{env.env_id}/vnc?ticket={reply.json()['ticket']}"
    with Viewer(url, {"Origin": "http://elsewhere.example"}) as viewer:
        viewer.look()
        env.close()
        with pytest.raises(ConnectionClosed):
            viewer.drain()


def test_an_image_without_x11vnc_says_what_to_install(fleet: Fleet, x11_image: str) -> None:
    hidden = {**spec(x11_image), "security": {"user": "root"}}
    hidden["hooks"] = {"post_start": "rm /usr/bin/x11vnc"}
    env = RemoteGymEnv(fleet.url, hidden, token=TOKEN)
    env.reset()
    with pytest.raises(InvalidStatus) as refused:
        watch(fleet, env)
    assert refused.value.response.status_code == 422
    assert b"install x11vnc" in refused.value.response.body
    env.close()
