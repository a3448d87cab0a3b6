"""The door of a worker: slow, endless and too many requests, in bytes."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gym_queue.web.door import Door
from gym_queue.web.limits import DoorLimits
from gym_queue.web.server import HttpServer, LoopThread, bind
from tests.service.dataplane.rig import Message, Peer
from tests.waiting import wait_until

HOST = "127.0.0.1"
GET = b"GET / HTTP/1.1\r\nHost: w\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 10\r\n\r\n"
PATIENT = DoorLimits(sweep_s=0.02, drain_s=0.1)


class Served:
    """An app that answers with the size of the body it read, behind a door."""

    def __init__(self, limits: DoorLimits) -> None:
        self.door = Door(limits)
        self.started: list[str] = []
        self.ended: list[str] = []
        self._bound = bind(HOST, 0)
        self.loop = LoopThread()
        self.loop.start()
        self._server = HttpServer(self, self._bound, protocol=self.door.protocol())
        self.loop.run(self._server.start(), 10)

    async def __call__(self, scope, receive, send) -> None:
        self.started.append(scope["path"])
        size, message = 0, {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                self.ended.append(scope["path"])
                return
            size += len(message.get("body", b""))
        body = b"x" * 30_000_000 if scope["path"] == "/big" else b"%d" % size
        heads = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": heads})
        await send({"type": "http.response.body", "body": body})

    @contextmanager
    def client(self, sent: bytes = b"", receive_buffer: int = 0) -> Iterator[Peer]:
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect((HOST, self._bound.getsockname()[1]))
        peer = Peer(sock)
        try:
            peer.send(sent)
            yield peer
        finally:
            peer.close()

    def stop(self) -> None:
        self.loop.run(self._server.stop(), 10)
        wait_until(lambda: not self.door.connections)
        self.loop.stop()


Serve = Callable[[DoorLimits], Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started: list[Served] = []

    def start(limits: DoorLimits) -> Served:
        started.append(Served(limits))
        return started[-1]

    yield start
    for served in started:
        served.stop()


def told(reply: Message) -> tuple[int, str]:
    return reply.status, reply.error()["code"]


def test_requests_within_the_limits_notice_nothing(serve: Serve) -> None:
    with serve(PATIENT).client() as client:
        for body in (b"", b"x" * 300_000):
            client.send(b"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert client.message().body == b"%d" % len(body)
        client.send(GET * 3)
        assert [client.message().body for _ in range(3)] == [b"0"] * 3


@pytest.mark.parametrize("before", [b"", GET])
def test_a_head_that_trickles_in_is_a_408(serve: Serve, before: bytes) -> None:
    with serve(DoorLimits(sweep_s=0.02, head_s=0.1)).client(before + GET[:-2]) as client:
        if before:
            assert client.message().status == 200
        reply = client.message()
        assert (told(reply), reply.one("connection")) == ((408, "request_timeout"), b"close")
        assert client.is_hung_up()


@pytest.mark.parametrize("limits", [DoorLimits(0.02, silence_s=0.1), DoorLimits(0.02, body_s=0.1)])
def test_a_body_that_stalls_is_a_408_and_the_app_hears_of_it(serve: Serve, limits: DoorLimits) -> None:
    served = serve(limits)
    with served.client(POST + b"half") as client:
        assert told(client.message()) == (408, "request_timeout")
        wait_until(lambda: served.ended)
        assert client.is_hung_up()


def test_a_body_that_trickles_in_for_too_long_is_a_408(serve: Serve) -> None:
    served = serve(DoorLimits(sweep_s=0.02, silence_s=30, body_s=0.1))
    with served.client(POST.replace(b"10", b"1000000")) as client:

        def trickle() -> bool:
            client.send(b"x")
            return bool(served.ended)

        wait_until(trickle)
        assert told(client.message()) == (408, "request_timeout")


def test_a_head_without_end_is_too_large(serve: Serve) -> None:
    served = serve(DoorLimits(sweep_s=0.02, head_bytes=4096, drain_s=0.1))
    with served.client(GET[:-2] + b"X: " + b"x" * 1_000_000) as client:
        assert told(client.message()) == (413, "too_large")
    assert not served.started


def test_what_is_not_http_is_malformed(serve: Serve) -> None:
    with serve(PATIENT).client(b"\x16\x03\x01\r\n\r\n") as client:
        assert told(client.message()) == (400, "malformed")
        assert client.is_hung_up()


@pytest.mark.parametrize("sent", [b"", GET])
def test_an_idle_connection_is_hung_up_on(serve: Serve, sent: bytes) -> None:
    with serve(DoorLimits(sweep_s=0.02, idle_s=0.1)).client(sent) as client:
        if sent:
            assert client.message().status == 200
        assert client.is_hung_up()


def test_a_client_that_does_not_read_its_answer_is_hung_up_on(serve: Serve) -> None:
    served = serve(DoorLimits(sweep_s=0.02, silence_s=0.1))
    with served.client(GET.replace(b"/", b"/big", 1), receive_buffer=4096):
        wait_until(lambda: served.started and not served.door.connections)


def test_one_connection_more_than_an_address_may_have_is_told_so(serve: Serve) -> None:
    served = serve(DoorLimits(sweep_s=0.02, per_address=2, drain_s=0.1))
    with served.client(GET) as one:
        with served.client(GET) as two:
            assert (one.message().status, two.message().status) == (200, 200)
            with served.client() as three:
                reply = three.message()
                assert (told(reply), reply.one("retry-after")) == ((503, "too_many_connections"), b"1")
                assert json.loads(reply.body)["sent"] is False
                assert three.is_hung_up()
            one.send(GET)
            assert one.message().status == 200
        wait_until(lambda: len(served.door.connections) == 1)
        with served.client(GET) as four:
            assert four.message().status == 200


def test_connections_beyond_all_limits_are_hung_up_on(serve: Serve) -> None:
    served = serve(DoorLimits(sweep_s=0.02, connections=1))
    with served.client(GET) as one:
        assert one.message().status == 200
        with served.client() as two:
            assert two.is_hung_up()
        one.send(GET)
        assert one.message().status == 200
