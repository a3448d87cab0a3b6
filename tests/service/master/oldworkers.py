"""A worker that speaks HTTP alone, as those of before Celery did, and does as the test says."""

from __future__ import annotations

import threading
from typing import Any

import anyio.to_thread
import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from gym_queue.web.server import HttpServer, LoopThread, bind


class OldWorker:
    """Serves from its making to ``stop``, on the test's loop."""

    def __init__(self, loop: LoopThread, worker_id: str = "w1") -> None:
        self.worker_id = worker_id
        self.says_it_is = worker_id
        self.creates: list[dict[str, Any]] = []
        self.closes: list[str] = []
        self.close_statuses: list[int] = []
        """Answers to the next closes; 200 when there is none left."""
        self.own_id: str | None = None
        """What it calls its environments, whatever they were asked to be called."""
        self.gate = threading.Event()
        """Creates are answered once it is set."""
        self.gate.set()
        self._loop = loop
        bound = bind("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        self._server = HttpServer(self._app(), bound)
        loop.run(self._server.start(), 10)

    def stop(self) -> None:
        """Serve no more."""
        self.gate.set()
        self._loop.run(self._server.stop(), 20)

    def register(self, master: httpx.Client, **more: Any) -> httpx.Response:
        """Tell a master of this worker."""
        metadata = {"available_runners": ["local"], "pid": 1}
        body = {"worker_id": self.worker_id, "url": self.url, "max_envs": 1, "metadata": metadata, **more}
        return master.post("/workers/register", json=body)

    def beat(self, master: httpx.Client, *env_ids: str) -> httpx.Response:
        """Tell a master what this worker has."""
        return master.post("/workers/heartbeat", json={"worker_id": self.worker_id, "env_ids": env_ids})

    def _app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/health")
        async def health() -> dict[str, str]:
            return {"role": "worker", "worker_id": self.says_it_is}

        @app.post("/envs/create", status_code=201)
        async def create(request: Request) -> dict[str, Any]:
            body = await request.json()
            self.creates.append(body)
            await anyio.to_thread.run_sync(self.gate.wait, abandon_on_cancel=True)
            return {"env_id": self.own_id or body["env_id"]}

        @app.post("/envs/{env_id}/close")
        async def close(env_id: str) -> Response:
            self.closes.append(env_id)
            return JSONResponse({}, self.close_statuses.pop(0) if self.close_statuses else 200)

        @app.get("/envs/{env_id}/session_info")
        async def session_info(env_id: str) -> dict[str, Any]:
            return {"session": None, "asked_of": env_id}

        return app
