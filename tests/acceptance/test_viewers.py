"""Viewers through a real master and worker: whose environment it is, and a master that restarts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from gym_queue.client import RemoteGymEnv
from gym_queue.runners.fakescreen import VERSION
from gym_queue.testing import Fleet, FleetSetup
from tests.waiting import wait_until

TOKEN = "viewers-token"
SPEC = {
    "id": "watched",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
    "action": [{"type": "keyboard"}],
    "vnc": {"enable": True},
}
WAIT_S = 20


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    setup = FleetSetup(
        workers=1, worker_arguments=("--runners", "fake"), variables={"GYM_ANYTHING_TOKEN": TOKEN}
    )
    with Fleet(setup) as running:
        yield running


@pytest.fixture
def env(fleet: Fleet) -> Iterator[RemoteGymEnv]:
    opened = RemoteGymEnv(fleet.url, SPEC, token=TOKEN)
    opened.reset()
    yield opened
    opened.close()


def watch(fleet: Fleet, env: RemoteGymEnv) -> AbstractContextManager[ClientConnection]:
    url = f"{fleet.url.replace('http', 'ws')}/envs/{env.env_id}/vnc"
    return connect(url, additional_headers={"Authorization": f"Bearer {TOKEN}"}, proxy=None)


def ticketed(fleet: Fleet, env: RemoteGymEnv) -> AbstractContextManager[ClientConnection]:
    path = f"/envs/{env.env_id}/vnc"
    reply = httpx.post(f"{fleet.url}{path}_ticket", headers={"Authorization": f"Bearer {TOKEN}"})
    url = f"{fleet.url.replace('http', 'ws')}{path}?ticket={reply.json()['ticket']}"
    headers = {"Origin": "http://elsewhere.example"}
    return connect(url, additional_headers=headers, proxy=None)


def test_a_ticket_opens_one_viewer_and_is_in_no_log(fleet: Fleet, env: RemoteGymEnv) -> None:
    session = env.get_session_info()
    assert session is not None
    assert session.vnc_url == f"/envs/{env.env_id}/vnc"
    opening = ticketed(fleet, env)
    with opening as viewer:
        assert viewer.recv(WAIT_S) == VERSION
        assert viewer.request is not None
        url = f"{fleet.url.replace('http', 'ws')}{viewer.request.path}"
    with pytest.raises(InvalidStatus) as refused, connect(url, proxy=None):
        pass
    assert refused.value.response.status_code == 401
    assert "ticket=" not in fleet.log_text()


def test_a_viewer_connects_again_after_the_master_restarted(fleet: Fleet, env: RemoteGymEnv) -> None:
    with watch(fleet, env) as viewer:
        assert viewer.recv(WAIT_S) == VERSION
        fleet.kill_master()
        with pytest.raises(ConnectionClosed):
            viewer.recv(WAIT_S)
    fleet.restart_master()

    def is_back() -> bool:
        try:
            with watch(fleet, env) as viewer:
                return viewer.recv(WAIT_S) == VERSION
        except InvalidStatus:
            return False

    wait_until(is_back)
