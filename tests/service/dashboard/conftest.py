"""A real standalone dashboard over a master that writes down what reaches it and answers what a test asks."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import httpx
import pytest
from starlette.types import Message, Receive, Scope, Send

from gym_queue.dashboard.run import Dashboard, DashboardOptions
from gym_queue.web.door import Door
from gym_queue.web.limits import DoorLimits
from gym_queue.web.server import HttpServer, LoopThread, bind

TOKEN = "towards-the-master"


@dataclass
class Recorder:
    """An ASGI app in a master's place."""

    url: str = ""
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, target and headers of each request."""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=lambda: [b"{}"])
    go_on: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    """Set when a client leaves before the end."""
    endless: bool = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode() + (f"?{query}" if query else "")
        self.seen.append((scope.get("method", "WS"), target, headers))
        if scope["type"] == "websocket":
            await self._echo(receive, send)
            return
        head: Message = {"type": "http.response.start", "status": self.status}
        await send({**head, "headers": [(k.encode(), v.encode()) for k, v in self.headers.items()]})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        while self.endless:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
        await send({"type": "http.response.body", "body": b""})

    async def _echo(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": None})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "bytes": message.get("bytes")})
        self.gone.set()


@dataclass
class Served:
    """A dashboard and its master."""

    url: str
    master: Recorder
    http: httpx.Client

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.url.rpartition(":")[2])

    def raw(self, request: bytes) -> bytes:
        """Send bytes; return the answer's."""
        with socket.create_connection(self.address, 10) as sock:
            sock.sendall(request)
            answer = b""
            while part := sock.recv(1 << 16):
                answer += part
        return answer


Start = Callable[..., Served]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts dashboards with options of a test's own."""
    with ExitStack() as stack:

        def begin(**options) -> Served:
            loop, master = LoopThread(), Recorder()
            loop.start()
            stack.callback(loop.stop)
            bound = bind("127.0.0.1", 0)
            master.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
            door = Door(DoorLimits(), upgrades=lambda method, path: True)
            server = HttpServer(master, bound, protocol=door.protocol())
            loop.run(server.start(), 10)
            stack.callback(lambda: loop.run(server.stop(), 10))
            ours = bind("127.0.0.1", 0)
            chosen = DashboardOptions(**{"master_urls": (master.url,), "token": TOKEN, **options})
            dashboard = Dashboard(chosen, ours)
            loop.run(dashboard.start(), 10)
            stack.callback(lambda: loop.run(dashboard.stop(), 10))
            url = f"http://127.0.0.1:{ours.getsockname()[1]}"
            http = stack.enter_context(
                httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False)
            )
            return Served(url, master, http)

        yield begin


@pytest.fixture
def served(start: Start) -> Served:
    return start()
