"""WebSockets of viewers at the gateway: who is let through, as whom, and what is counted."""

from __future__ import annotations

import pytest

from gym_queue.web.auth import COOKIE
from tests.service.dataplane.conftest import StartMaster
from tests.service.dataplane.rig import AUTH, ENV, TOKEN, WORKER_TOKEN, Master, Message, Peer, Worker, get
from tests.waiting import wait_until

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n"
)
VNC = f"/envs/{ENV}/vnc".encode()
COOKIES = f"Cookie: {COOKIE}={TOKEN}\r\n".encode()
ELSEWHERE = b"Origin: http://elsewhere.example\r\n"


def ask(target: bytes, more: bytes) -> bytes:
    """Return a viewer's request that bears no token of its own."""
    return get(target, UPGRADE + more).replace(AUTH, b"", 1)


def opening(seen: list[Message]):
    """Open every WebSocket, and end it when the viewer does."""

    def script(peer: Peer) -> None:
        seen.append(peer.message())
        peer.send(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        peer.is_hung_up()

    return script


def test_a_ticket_is_the_workers_to_judge_and_no_token_goes_with_it(master: Master, worker: Worker) -> None:
    seen: list[Message] = []
    worker.script = opening(seen)
    for more in (ELSEWHERE, AUTH):
        with master.client(ask(VNC + b"?view_only=1&ticket=t", more)) as client:
            assert client.message().status == 101
    assert [each.one("authorization") for each in seen] == [None, None]


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(VNC + b"?ticket=t").replace(AUTH, b""),
        ask(f"/envs/{ENV}/session_info?ticket=t".encode(), b""),
        ask(VNC + b"?tickets=t", b""),
        ask(VNC, b""),
    ],
    ids=["no websocket", "another call", "another word", "nothing"],
)
def test_only_a_viewer_with_a_ticket_needs_no_token(
    master: Master, worker: Worker, request_bytes: bytes
) -> None:
    assert master.ask(request_bytes).status == 401
    assert worker.connections == 0


def test_a_cookie_opens_for_this_masters_own_pages_alone(master: Master, worker: Worker) -> None:
    seen: list[Message] = []
    worker.script = opening(seen)
    refused = master.ask(ask(VNC, COOKIES + ELSEWHERE))
    assert (refused.status, refused.error()["code"]) == (403, "forbidden")
    host = next(line for line in get(VNC).split(b"\r\n") if line.lower().startswith(b"host: "))[6:]
    with master.client(ask(VNC, COOKIES + b"Origin: http://" + host + b"\r\n")) as client:
        assert client.message().status == 101
    assert [each.one("authorization") for each in seen] == [f"Bearer {WORKER_TOKEN}".encode()]


def test_a_page_that_has_the_token_may_be_anybodys(master: Master, worker: Worker) -> None:
    worker.script = opening([])
    with master.client(ask(VNC, AUTH + ELSEWHERE)) as client:
        assert client.message().status == 101


def test_without_tokens_another_sites_page_is_refused_too(start_master: StartMaster) -> None:
    master = start_master(token=None)
    assert master.ask(ask(VNC, ELSEWHERE)).status == 403


def test_a_viewer_is_counted_when_it_opens_and_its_length_is_no_latency(
    master: Master, worker: Worker
) -> None:
    worker.script = opening([])

    def count() -> int:
        found = master.gateway.stats.by_call().get("vnc")
        return found.count if found else 0

    before = count()
    with master.client(ask(VNC, AUTH)) as client:
        assert client.message().status == 101
        assert count() == before + 1
    wait_until(lambda: not master.gateway.active_count)
    assert count() == before + 1
