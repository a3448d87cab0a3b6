"""The dashboard's cookie at the gateway: a page of this master may act on environments, no other page may."""

from __future__ import annotations

import pytest

from gym_queue.web.auth import COOKIE
from tests.service.dataplane.rig import ENV, TOKEN, WORKER_TOKEN, Master, Message, Peer, Worker

CLOSE = f"/envs/{ENV}/vnc_ticket".encode()
COOKIES = f"Cookie: {COOKIE}={TOKEN}\r\n".encode()
PAGE = b"X-Gym-Queue-Page: 1\r\n"
OWN = b"Origin: http://m\r\n"


def act(*headers: bytes) -> bytes:
    return b"POST " + CLOSE + b" HTTP/1.1\r\nHost: m\r\nContent-Length: 0\r\n" + b"".join(headers) + b"\r\n"


@pytest.mark.parametrize(
    "said", [OWN, OWN + b"Sec-Fetch-Site: same-origin\r\n", b"sec-fetch-site:same-origin\r\n"]
)
def test_a_page_of_this_master_acts_with_the_workers_token(
    master: Master, worker: Worker, said: bytes
) -> None:
    seen: list[Message] = []

    def script(peer: Peer) -> None:
        seen.append(peer.message())
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    worker.script = script
    reply = master.ask(act(COOKIES, PAGE, said))
    assert reply.status == 200
    assert [each.one("authorization") for each in seen] == [f"Bearer {WORKER_TOKEN}".encode()]
    assert [each.one("cookie") for each in seen] == [None]


@pytest.mark.parametrize(
    "headers",
    [
        (COOKIES, PAGE, b"Origin: http://elsewhere.example\r\n"),
        (COOKIES, PAGE, b"Origin: http://m:8080\r\n"),
        (COOKIES, PAGE, b"Origin: null\r\n"),
        (COOKIES, PAGE, OWN, b"Origin: http://elsewhere.example\r\n"),
        (COOKIES, PAGE, OWN, b"Sec-Fetch-Site: same-site\r\n"),
        (COOKIES, PAGE),
        (COOKIES, OWN),
        (PAGE, OWN),
        (COOKIES.replace(TOKEN.encode(), b"wrong"), PAGE, OWN),
    ],
    ids=[
        "cross",
        "port",
        "null",
        "two",
        "site",
        "no origin",
        "no header",
        "no cookie",
        "wrong cookie",
    ],
)
def test_no_other_page_acts(master: Master, worker: Worker, headers: tuple[bytes, ...]) -> None:
    assert master.ask(act(*headers)).status == 401
    assert worker.connections == 0
