"""Watching by a WebSocket, straight at a worker: who may, who may not, and how it ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from gym_queue.runners.fakescreen import VERSION
from gym_queue.web.attempts import FIRST_DELAY_S, FREE, Attempts
from gym_queue.web.door import Door
from gym_queue.web.limits import DoorLimits
from gym_queue.web.server import HttpServer, bind
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.tickets import Tickets
from gym_queue.worker.viewers import VIEWERS_PER_ENV, Viewers, is_viewer
from tests.service.worker.rig import Rig, spec
from tests.waiting import wait_until

TOKEN = "t0ken"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
WATCHED = {**spec(), "vnc": {"enable": True}}
MB = 1 << 20
WAIT_S = 20


class Served:
    """A worker's endpoint, and one environment of it."""

    def __init__(self, rig: Rig, token: str | None) -> None:
        self.rig = rig
        self.door = Door(DoorLimits(sweep_s=0.02, head_s=0.1, idle_s=30), upgrades=is_viewer)
        bound = bind("127.0.0.1", 0)
        self.host = f"127.0.0.1:{bound.getsockname()[1]}"
        identity = WorkerIdentity("w1", f"http://{self.host}", None, lambda: "none")
        app = make_worker_app(rig.host, identity, token=token)
        self.server = HttpServer(app, bound, protocol=self.door.protocol())
        rig.run(self.server.start())

    def open(self, **vnc: Any) -> str:
        env = self.rig.open_running({**WATCHED, "vnc": {"enable": True, **vnc}})
        return f"/envs/{env.env_id}"

    def watch(
        self, path: str, headers: dict[str, str] = BEARER, *, max_size: int | None = MB
    ) -> AbstractContextManager[ClientConnection]:
        return connect(
            f"ws://{self.host}{path}",
            additional_headers=headers,
            proxy=None,
            open_timeout=WAIT_S,
            max_size=max_size,
        )

    def refused(self, path: str, headers: dict[str, str] = BEARER) -> tuple[int, str]:
        with pytest.raises(InvalidStatus) as raised, self.watch(path, headers):
            pass
        reply = raised.value.response
        body = json.loads(reply.body)
        assert body["request_id"] == reply.headers["X-Request-ID"]
        return reply.status_code, body["code"]

    def ticket(self, path: str) -> str:
        reply = httpx.post(f"http://{self.host}{path}/vnc_ticket", headers=BEARER)
        assert reply.json()["expires_s"] == 30
        return str(reply.json()["ticket"])


@pytest.fixture(scope="module")
def shared(shared_rig: Rig) -> Iterator[Served]:
    served = Served(shared_rig, TOKEN)
    yield served
    shared_rig.run(served.server.stop())


@pytest.fixture
def served(rig: Rig, shared: Served) -> Iterator[Served]:
    yield shared
    for env_id in shared.rig.live:
        shared.rig.run(shared.rig.host.close(env_id))


@pytest.fixture
def path(served: Served) -> str:
    return served.open()


def test_bytes_are_passed_both_ways_however_large(served: Served) -> None:
    with served.watch(f"{served.open(view_only=False)}/vnc?view_only=0", max_size=None) as viewer:
        assert viewer.recv(WAIT_S) == VERSION
        pieces, got = [bytes([n]) * (MB // 2) for n in range(8)], b""
        for piece in pieces:
            viewer.send(piece)
        while len(got) < 4 * MB:
            taken = viewer.recv(WAIT_S)
            assert isinstance(taken, bytes)
            got += taken
        assert got == b"".join(pieces)


def test_a_viewer_only_looks_unless_it_asks_and_the_spec_allows_it(served: Served, path: str) -> None:
    assert served.refused(f"{path}/vnc?view_only=0") == (403, "forbidden")
    assert served.refused(f"{path}/vnc?view_only=maybe") == (422, "request_invalid")
    free = served.open(view_only=False)
    with served.watch(f"{free}/vnc") as looks, served.watch(f"{free}/vnc?view_only=false") as acts:
        assert looks.recv(WAIT_S) == acts.recv(WAIT_S) == VERSION
        for viewer in (looks, acts):
            viewer.send(b"key")
        assert acts.recv(WAIT_S) == b"key"
        with pytest.raises(TimeoutError):
            looks.recv(0)


def test_a_token_a_ticket_or_a_cookie_of_this_servers_page_opens(served: Served, path: str) -> None:
    own = {"Cookie": f"gym_queue_token={TOKEN}", "Origin": f"http://{served.host}"}
    env_token = {"Authorization": f"Bearer {served.rig.host.get(path[6:]).token}"}
    foreign = {"Origin": "http://elsewhere.example"}
    ticketed = f"{path}/vnc?ticket={served.ticket(path)}"
    for where, headers in ((f"{path}/vnc", own), (f"{path}/vnc", env_token), (ticketed, foreign)):
        with served.watch(where, headers) as viewer:
            assert viewer.recv(WAIT_S) == VERSION


def test_whoever_bears_nothing_right_is_refused(served: Served, path: str) -> None:
    vnc = f"{path}/vnc"
    used = f"{vnc}?ticket={served.ticket(path)}"
    with served.watch(used, {}):
        pass
    others = f"{vnc}?ticket={served.ticket(served.open())}"
    wrong = {"Authorization": "Bearer wrong"}
    for where, headers in (
        *((vnc, {}), (vnc, wrong), (used, {}), (used, BEARER), (others, {}), (f"{vnc}?ticket=", {})),
        ("/envs/nobody/vnc", {}),
    ):
        assert served.refused(where, headers) == (401, "unauthorized"), where


def test_another_sites_page_is_refused_whatever_cookie_its_browser_sends(served: Served, path: str) -> None:
    page = {"Cookie": f"gym_queue_token={TOKEN}", "Origin": "http://127.0.0.1:1"}
    assert served.refused(f"{path}/vnc", page) == (403, "forbidden")


def test_without_tokens_another_sites_page_is_refused_too(rig: Rig) -> None:
    served = Served(rig, None)
    path = served.open()
    assert served.refused(f"{path}/vnc", {"Origin": "http://elsewhere.example"}) == (403, "forbidden")
    with served.watch(f"{path}/vnc", {}) as viewer:
        assert viewer.recv(WAIT_S) == VERSION
    rig.run(served.server.stop())
    rig.run(rig.host.close(path[6:]))


def test_what_cannot_be_watched_says_why(served: Served, path: str) -> None:
    closed = served.rig.open(WATCHED)
    assert served.refused(f"/envs/{closed.env_id}/vnc") == (409, "env_state")
    plain = served.rig.open_running(spec())
    assert served.refused(f"/envs/{plain.env_id}/vnc") == (422, "not_supported")
    terminal = served.rig.open_running({**spec("local"), "vnc": {"enable": True}})
    assert served.refused(f"/envs/{terminal.env_id}/vnc") == (422, "not_supported")
    assert served.refused("/envs/nobody/vnc") == (404, "env_not_found")
    served.rig.run(served.rig.host.close(path[6:]))
    assert served.refused(f"{path}/vnc")[0] in (404, 410)


def test_a_call_without_a_websocket_is_told_to_ask_for_one(served: Served, path: str) -> None:
    reply = httpx.get(f"http://{served.host}{path}/vnc", headers=BEARER)
    assert (reply.status_code, reply.json()["code"]) == (426, "upgrade_required")
    assert reply.headers["Upgrade"] == "websocket"


def test_other_calls_are_answered_as_if_no_websocket_was_asked_for(served: Served) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert httpx.get(f"http://{served.host}/health", headers=upgrade).status_code == 200
    with pytest.raises(InvalidStatus), served.watch("/health"):
        pass


def test_a_viewer_goes_with_its_environment(served: Served, path: str) -> None:
    with served.watch(f"{path}/vnc") as viewer:
        assert viewer.recv(WAIT_S) == VERSION
        served.rig.run(served.rig.host.close(path[6:]))
        with pytest.raises(ConnectionClosed) as ended:
            viewer.recv(WAIT_S)
    assert ended.value.rcvd is not None
    assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1001, "the screen is gone")


def test_text_is_not_what_a_screen_takes(served: Served, path: str) -> None:
    with served.watch(f"{path}/vnc") as viewer:
        viewer.recv(WAIT_S)
        viewer.send("text")
        with pytest.raises(ConnectionClosed) as ended:
            viewer.recv(WAIT_S)
    assert ended.value.rcvd is not None
    assert ended.value.rcvd.code == 1003


def test_an_environment_has_room_for_so_many_viewers_and_again_when_one_went(
    served: Served, path: str
) -> None:
    vnc = f"{path}/vnc"
    opened = [served.watch(vnc) for _ in range(VIEWERS_PER_ENV)]
    viewers = [each.__enter__() for each in opened]
    assert served.refused(vnc) == (503, "too_many_connections")
    viewers[0].close()

    def has_room() -> bool:
        try:
            with served.watch(vnc):
                return True
        except InvalidStatus:
            return False

    wait_until(has_room)
    for each in opened[1:]:
        each.__exit__(None, None, None)
    opened[0].__exit__(None, None, None)


def test_a_viewer_that_stays_is_not_taken_for_a_slow_request(served: Served, path: str) -> None:
    with served.watch(f"{path}/vnc") as viewer:
        viewer.recv(WAIT_S)
        with pytest.raises(TimeoutError):  # several sweeps of the door, and its limit of a head
            viewer.recv(0.4)
        viewer.ping().wait(WAIT_S)
        assert served.door.addresses._counts["127.0.0.1"] >= 1
    wait_until(lambda: not served.door.addresses._counts["127.0.0.1"])


def test_watching_keeps_nothing_alive(served: Served, path: str) -> None:
    with served.watch(f"{path}/vnc") as viewer:
        viewer.recv(WAIT_S)
        env = served.rig.host.get(path[6:])
        before = env.last_activity
        viewer.send(b"x")
        viewer.ping().wait(WAIT_S)
        assert (env.busy, env.last_activity) == (0, before)


def test_wrong_tickets_cost_time_as_wrong_tokens_do(rig: Rig) -> None:
    waited: list[float] = []

    async def pause(delay_s: float) -> None:
        waited.append(delay_s)

    async def nothing(*_: object) -> None:
        pass

    viewers = Viewers(nothing, rig.host, Tickets(), check=None, attempts=Attempts(pause=pause))
    scope = {"type": "websocket", "path": "/envs/a/vnc", "query_string": b"ticket=guess", "headers": []}
    for _ in range(FREE + 1):
        asked = {**scope, "subprotocols": [], "client": ("10.0.0.1", 1)}
        asyncio.run(viewers(asked, nothing, nothing))  # type: ignore[arg-type]
    assert waited == [FIRST_DELAY_S]
