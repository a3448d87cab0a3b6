from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.dataplane.limits import Limits
from gym_queue.tls import TlsFiles, client_context, server_context
from gym_queue.web.server import HttpServer
from tests.service.dataplane.rig import (
    ENV,
    HOST,
    OK,
    STEP,
    TOKEN,
    WORKER_TOKEN,
    Master,
    Peer,
    Script,
    Worker,
    _make_app,
    echo,
    get,
    post,
)
from tests.service.tls.conftest import Certificates
from tests.waiting import wait_until

UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n"
)


class TlsMaster(Master):
    """The rig's master over TLS, on both of its sides."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        super().__init__(Limits(sweep_s=0.02))

    async def _start(self, token: str | None) -> None:
        self.gateway = Gateway(
            self.routes,
            self.fleet,
            token=TOKEN,
            worker_token=WORKER_TOKEN,
            timeout_s=60,
            limits=Limits(sweep_s=0.02),
            verify=client_context(self._files),
        )
        self.server = HttpServer(
            _make_app(self.routes, self.waiting),
            self._bound,
            protocol=self.gateway.protocol(),
            tls=server_context(self._files),
        )
        self.gateway.start()
        await self.server.start()

    @contextmanager
    def client(self, sent: bytes = b"", *, receive_buffer: int = 0) -> Iterator[Peer]:
        context = client_context(TlsFiles(ca=self._files.ca))
        plain = socket.create_connection((HOST, self.port))
        peer = Peer(context.wrap_socket(plain, server_hostname=HOST))
        try:
            peer.send(sent)
            yield peer
        finally:
            peer.close()


def over_tls(files: TlsFiles, script: Script, *, asks: ssl.VerifyMode = ssl.CERT_NONE) -> Script:
    """Return a worker's script that begins with a handshake."""
    context = server_context(files, asks=asks)
    assert context is not None

    def run(peer: Peer) -> None:
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        script(peer)

    return run


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    made.url = made.url.replace("http", "https")
    yield made
    made.settle()
    made.stop()


@pytest.fixture
def master(
    certificates: Certificates, worker: Worker, caplog: pytest.LogCaptureFixture
) -> Iterator[TlsMaster]:
    made = TlsMaster(certificates.good)
    made.route(ENV, worker.url)
    worker.script = over_tls(certificates.good, echo)
    with caplog.at_level(logging.WARNING):
        yield made
        made.check_nothing_is_left()
        made.stop()
    assert [record.getMessage() for record in caplog.records] == []


def test_a_call_goes_to_the_worker_over_tls_on_both_sides(master: TlsMaster, worker: Worker) -> None:
    with master.client() as client:
        for body in (b'{"n": 1}', b'{"n": 2}'):
            client.send(post(STEP, body))
            assert client.message().body.endswith(body)
    assert worker.connections == 1


def test_large_bodies_pass_both_ways(master: TlsMaster) -> None:
    body = bytes(range(256)) * 12_000
    with master.client() as client:
        sender = threading.Thread(target=client.send, args=(post(STEP, body),))
        sender.start()
        assert client.message().body.endswith(body)
        sender.join()


def test_the_master_s_own_calls_are_answered(master: TlsMaster) -> None:
    assert master.ask(get(b"/workers/list")).status == 200
    assert len(master.ask(get(b"/big")).body) == 3_000_000


def test_a_websocket_passes_both_ways(master: TlsMaster, worker: Worker, certificates: Certificates) -> None:
    def script(peer: Peer) -> None:
        assert peer.message().one("upgrade") == b"websocket"
        peer.send(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi")
        while True:
            peer.send(peer.take(3)[::-1])

    worker.script = over_tls(certificates.good, script)
    with master.client(get(b"/envs/" + ENV.encode() + b"/vnc", UPGRADE)) as client:
        assert client.message().status == 101
        assert client.take(2) == b"hi"
        client.send(b"abcdef")
        assert client.take(6) == b"cbafed"


def test_a_client_that_ends_tls_while_it_waits_is_given_up(
    master: TlsMaster, worker: Worker, certificates: Certificates
) -> None:
    asked, given_up = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        peer.message()
        asked.set()
        try:
            peer.rest()
        finally:
            given_up.set()

    worker.script = over_tls(certificates.good, script)
    with master.client(post(STEP)) as client:
        assert asked.wait(10)
        client.end()  # TLS has no half-close: the whole connection ends
        assert given_up.wait(10)


def test_a_create_whose_client_ends_tls_hears_of_it(master: TlsMaster) -> None:
    with master.client(post(b"/envs/create")) as client:
        wait_until(lambda: master.waiting)
        client.end()
        wait_until(lambda: not master.waiting)


def test_a_client_that_still_sends_reads_its_refusal(master: TlsMaster) -> None:
    with master.client(b"POST " + STEP + b" HTTP/1.1\r\nHost: m\r\nContent-Length: x\r\n\r\n") as client:
        client.send(b"more" * 1000)
        assert client.message().status == 400
        assert client.is_hung_up()


def test_a_worker_that_ended_an_idle_connection_is_called_on_a_new_one(
    master: TlsMaster, worker: Worker, certificates: Certificates
) -> None:
    def script(peer: Peer) -> None:
        peer.message()
        peer.send(OK)
        peer.close()

    worker.script = over_tls(certificates.good, script)
    for _ in range(2):
        assert master.ask(post(STEP)).status == 200
        wait_until(lambda: master.gateway.pools.count == 0)
    assert worker.connections == 2


def test_a_worker_that_requires_a_certificate_gets_the_master_s(
    master: TlsMaster, worker: Worker, certificates: Certificates
) -> None:
    worker.script = over_tls(certificates.good, echo, asks=ssl.CERT_REQUIRED)
    assert master.ask(post(STEP)).status == 200


def test_half_a_reply_is_not_taken_for_whole(
    master: TlsMaster, worker: Worker, certificates: Certificates
) -> None:
    def script(peer: Peer) -> None:
        peer.message()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        peer.close()

    worker.script = over_tls(certificates.good, script)
    with master.client(post(STEP)) as client, pytest.raises((EOFError, OSError)):
        client.message()


@pytest.mark.parametrize(
    ("which", "why"),
    [("strange", "no CA trusted here"), ("expired", "has expired"), ("misnamed", "for another name")],
)
def test_a_worker_with_a_wrong_certificate_is_not_called(
    master: TlsMaster, worker: Worker, certificates: Certificates, which: str, why: str
) -> None:
    called: list[bytes] = []

    def script(peer: Peer) -> None:
        called.append(peer.message().body)

    worker.script = over_tls(getattr(certificates, which), script)
    reply = master.ask(post(STEP))
    assert (reply.status, reply.error()["code"]) == (502, "worker_unreachable")
    assert why in reply.error()["error"]
    assert called == []


def test_a_worker_that_serves_plainly_under_an_https_url_is_not_called(
    master: TlsMaster, worker: Worker
) -> None:
    def script(peer: Peer) -> None:
        peer.take(1)
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    worker.script = script
    assert "does not speak TLS" in master.ask(post(STEP)).error()["error"]
