"""A real master's HTTP side, a worker that does whatever a test asks, and clients made of bytes."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel

from gym_queue.errors import RequestInvalid
from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.dataplane.limits import Limits
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.routes import Routes
from gym_queue.protocol.fleet import Registration
from gym_queue.web.auth import TokenMiddleware, same_token
from gym_queue.web.bodylimit import BodyLimitMiddleware
from gym_queue.web.errors import install_error_handlers
from gym_queue.web.limits import BodyLimits
from gym_queue.web.requestid import RequestIdMiddleware
from gym_queue.web.server import HttpServer, LoopThread, bind
from tests.waiting import wait_until

HOST = "127.0.0.1"
TOKEN = "the-cluster-token"
WORKER_TOKEN = "the-worker-token"
AUTH = f"Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n".encode()
ENV = "6b1f2c1e-1111-4222-8333-444455556666"
STEP = f"/envs/{ENV}/step".encode()
TIMEOUT_S = 10.0


def get(path: bytes, more: bytes = b"") -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\nHost: m\r\n" + AUTH + more + b"\r\n"


def post(path: bytes, body: bytes = b"{}", more: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST " + path + b" HTTP/1.1\r\nHost: m\r\n" + AUTH + length + more + b"\r\n" + body


@dataclass(frozen=True)
class Message:
    """A head and a body as they came."""

    first: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.first.split(b" ")[1])

    def all(self, name: str) -> list[bytes]:
        return [value for key, value in self.fields if key == name.lower().encode()]

    def one(self, name: str) -> bytes | None:
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None

    def error(self) -> dict[str, Any]:
        body = json.loads(self.body)
        assert {"error", "code", "request_id"} <= set(body)
        assert (self.one("x-request-id") or b"").decode() == body["request_id"]
        return dict(body)


class Peer:
    """One end of a connection, spoken in bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = b""
        sock.settimeout(TIMEOUT_S)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def end(self) -> None:
        """Half-close."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def message(self, *, has_body: bool = True) -> Message:
        """Read the next message, whole."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        pairs = [line.partition(b":") for line in lines]
        fields = tuple((name.lower(), value.strip()) for name, _, value in pairs)
        is_reply = first.startswith(b"HTTP/")
        if not has_body or (is_reply and first[9:12] in (b"204", b"304", b"100", b"101", b"103")):
            return Message(first, fields, b"")
        return Message(first, fields, self._body(dict(fields), to_end=is_reply))

    def take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._buffer += self._more()
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def rest(self) -> bytes:
        """Read until the other side ends."""
        parts = [self._buffer]
        while part := self.sock.recv(1 << 16):
            parts.append(part)
        self._buffer = b""
        return b"".join(parts)

    def is_hung_up(self) -> bool:
        """Whether nothing more comes, waiting for it."""
        try:
            return self.rest() == b""
        except ConnectionError:
            return True

    def _body(self, fields: dict[bytes, bytes], *, to_end: bool) -> bytes:
        if b"content-length" in fields:
            return self.take(int(fields[b"content-length"]))
        if fields.get(b"transfer-encoding") != b"chunked":
            return self.rest() if to_end else b""
        body = b""
        while size := int(self._until(b"\r\n").split(b";")[0], 16):
            body += self.take(size)
            assert self.take(2) == b"\r\n"
        while self._until(b"\r\n") != b"\r\n":
            pass
        return body

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            self._buffer += self._more()
        found, _, self._buffer = self._buffer.partition(mark)
        return found + mark

    def _more(self) -> bytes:
        part = self.sock.recv(1 << 16)
        if not part:
            raise EOFError(self._buffer)
        return part


Script = Callable[[Peer], None]
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def echo(peer: Peer) -> None:
    """Answer every request with itself."""
    while True:
        request = peer.message()
        body = request.first + b"\n" + request.body
        payload = b"" if request.first.startswith(b"HEAD ") else body
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), payload))


class Worker:
    """Takes connections and treats each as the script says."""

    def __init__(self) -> None:
        self.script: Script = echo
        self.connections = 0
        self.failures: list[BaseException] = []
        self._listening = socket.create_server((HOST, 0))
        self.url = f"http://{HOST}:{self._listening.getsockname()[1]}"
        self._peers: list[tuple[Peer, threading.Thread]] = []
        self._taking = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """End what is left of the scripts."""
        with self._taking:
            peers, self._peers = self._peers, []
        for peer, thread in peers:
            with suppress(OSError):  # it may have ended
                peer.sock.shutdown(socket.SHUT_RDWR)
            thread.join(TIMEOUT_S)
            assert not thread.is_alive()
            peer.close()
        failures, self.failures = self.failures, []
        assert not failures

    def stop(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join(TIMEOUT_S)
        self._listening.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return  # stopped
            self.connections += 1
            with self._taking:  # else a script that has answered could be missing when they are settled
                peer = Peer(sock)
                thread = threading.Thread(target=self._run, args=(peer, self.script), daemon=True)
                thread.start()
                self._peers.append((peer, thread))

    def _run(self, peer: Peer, script: Script) -> None:
        try:
            script(peer)
        except (EOFError, OSError):
            pass  # the master hung up
        except BaseException as error:  # noqa: BLE001  for the test's thread
            self.failures.append(error)
        finally:
            if peer.sock.fileno() >= 0:
                peer.close()


class Master:
    """The master's routes, gateway and app on a port, without a broker."""

    def __init__(self, limits: Limits, *, timeout_s: float = 60.0, token: str | None = TOKEN) -> None:
        self.waiting: list[str] = []
        """Creates whose clients are still there."""
        self.routes = Routes()
        self.fleet = Fleet(self.routes, FleetTimes())
        self.gateway = Gateway(
            self.routes,
            self.fleet,
            token=token,
            worker_token=WORKER_TOKEN,
            timeout_s=timeout_s,
            limits=limits,
        )
        self._bound = bind(HOST, 0)
        self.port = self._bound.getsockname()[1]
        self._loop = LoopThread()
        self._loop.start()
        self.run(self._start(token))

    async def _start(self, token: str | None) -> None:
        app = RequestIdMiddleware(
            TokenMiddleware(
                BodyLimitMiddleware(
                    _make_app(self.routes, self.waiting),
                    BodyLimits(),
                    is_unread=lambda path: path != "/envs/create" and path.startswith("/envs/"),
                ),
                check=(lambda _path, given: same_token(given, token)) if token else None,
            )
        )
        self.server = HttpServer(app, self._bound, protocol=self.gateway.protocol())
        self.gateway.start()
        await self.server.start()

    def run(self, work: Any) -> Any:
        return self._loop.run(work, TIMEOUT_S)

    def do(self, work: Callable[[], object]) -> None:
        """Call something on the master's loop."""

        async def call() -> None:
            work()

        self.run(call())

    def route(self, env_id: str, url: str, worker_id: str = "w1") -> None:
        def add() -> None:
            self.fleet.register(Registration(worker_id=worker_id, url=url, max_envs=100))
            self.routes.adopt(env_id, worker_id, url)

        self.do(add)

    @contextmanager
    def client(self, sent: bytes = b"", *, receive_buffer: int = 0) -> Iterator[Peer]:
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.connect((HOST, self.port))
        peer = Peer(sock)
        try:
            peer.send(sent)
            yield peer
        finally:
            peer.close()

    def ask(self, sent: bytes) -> Message:
        with self.client(sent) as client:
            return client.message(has_body=not sent.startswith(b"HEAD "))

    def stop_serving(self) -> None:
        self.run(self.server.stop())

    def stop(self) -> None:
        self.run(self.server.stop())
        self.run(self.gateway.close())
        self._loop.stop()

    def check_nothing_is_left(self) -> None:
        wait_until(lambda: not self.gateway.connections and not self.gateway.active_count)
        self.do(self.gateway.pools.close)
        wait_until(lambda: self.gateway.pools.count == 0)
        assert self.gateway.bug_count == 0


class WorkerRef(BaseModel):
    worker_id: str


def _make_app(routes: Routes, waiting: list[str]) -> FastAPI:
    """Return calls like the master's own, behind the middlewares that it has."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/health")
    @app.get("/workers/list")
    async def show() -> dict[str, str]:
        return {"status": "healthy"}

    @app.post("/workers/drain")
    async def drain(request: WorkerRef, http: Request) -> dict[str, str]:
        return {"worker_id": request.worker_id, "host": str(http.url.hostname)}

    @app.get("/big")
    async def big() -> Response:
        return Response(b"x" * 3_000_000)

    @app.post("/envs/create")
    async def create(request: Request) -> dict[str, str]:
        await request.body()
        waiting.append("one")
        while (await request.receive())["type"] != "http.disconnect":
            pass
        waiting.remove("one")
        return {}

    @app.api_route("/envs/{env_id}/{call:path}", methods=["GET", "POST"])
    async def unrouted(env_id: str, call: str) -> None:
        routes.forwardable(env_id)
        raise RequestInvalid("write the id as it is")

    return app


def open_files() -> int:
    return psutil.Process().num_fds()
