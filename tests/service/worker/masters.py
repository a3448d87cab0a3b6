"""A small master: a real server that keeps what workers say to it, and answers as a test wants."""

from __future__ import annotations

import socket
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from gym_queue.web.server import HttpServer, LoopThread, bind


class SmallMaster:
    """Serves from ``start`` to ``stop``; its address holds before and after."""

    def __init__(self, loop: LoopThread) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []
        self.tokens: set[str | None] = set()
        self.answers: dict[str, Response] = {}
        """Call → what to answer instead."""
        self.broker_url: str | None = None
        self.heartbeat_s = 0.02
        self._loop = loop
        self._bound: socket.socket = bind("127.0.0.1", 0)
        self._port = self._bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._server: HttpServer | None = None

    def start(self) -> None:
        if self._bound.fileno() == -1:
            self._bound = bind("127.0.0.1", self._port)
        self._server = HttpServer(self._app(), self._bound)
        self._loop.run(self._server.start(), 10)

    def stop(self) -> None:
        """Serve no more; the address refuses connections."""
        if self._server is not None:
            self._loop.run(self._server.stop(), 10)
        self._server = None
        self._bound.close()

    def bodies(self, call: str) -> list[dict[str, Any]]:
        return [body for name, body in self.said if name == call]

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/workers/{call}")
        async def hear(call: str, request: Request) -> Response:
            body = await request.json()
            self.said.append((call, body))
            self.tokens.add(request.headers.get("authorization"))
            return self.answers.get(call) or JSONResponse(self._answer(call, body))

        return app

    def _answer(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        if call != "register":
            return {"status": "ok", "master_time": 0}
        registered = {"status": "registered", "worker_id": body["worker_id"], "master_time": 0.0}
        return {**registered, "heartbeat_s": self.heartbeat_s, "broker_url": self.broker_url}
