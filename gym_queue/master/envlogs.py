"""What the master logged about each environment; bounded, the longest silent one's lines go first."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Annotated, Any

import httpx
from fastapi import FastAPI, Query

from gym_queue.errors import EnvNotFound, GymQueueError
from gym_queue.log import ids_of, line_of
from gym_queue.master.creates import Creates
from gym_queue.master.fleet import Fleet
from gym_queue.master.routes import Routes
from gym_queue.protocol.logs import DEFAULT_LINES, MAX_LINES, LogsReply
from gym_queue.protocol.parse import parse_body

LINES_PER_ENV = 200
LINES = 20_000
"""Of all environments together."""
BYTES = 16 << 20
ASK_TIMEOUT_S = 3.0
"""Of a worker, for the lines of an environment that has ended."""

Line = dict[str, Any]


class EnvLogs(logging.Handler):
    """Keeps this program's lines by the environment that they name: a handler of the root logger."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: OrderedDict[str, deque[tuple[Line, int]]] = OrderedDict()
        self._lines = self._bytes = 0

    def lines(self, env_id: str, limit: int) -> list[Line]:
        """Return the latest lines about an environment, oldest first."""
        with self._held():
            return [line for line, _ in self._kept.get(env_id, ())][-limit:]

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line that is about an environment."""
        env_id = ids_of(record).get("env_id")
        if env_id is None:
            return
        line = {**line_of(record, self.formatter), "source": "master"}
        size = sum(len(str(value)) for value in line.values())
        kept = self._kept.setdefault(env_id, deque())
        self._kept.move_to_end(env_id)
        kept.append((line, size))
        self._lines, self._bytes = self._lines + 1, self._bytes + size
        if len(kept) > LINES_PER_ENV:
            self._forget(kept)
        while self._lines > LINES or self._bytes > BYTES:
            oldest_id, oldest = next(iter(self._kept.items()))
            self._forget(oldest)
            if not oldest:
                del self._kept[oldest_id]

    def _forget(self, kept: deque[tuple[Line, int]]) -> None:
        self._lines, self._bytes = self._lines - 1, self._bytes - kept.popleft()[1]

    def _held(self) -> RLock:
        assert self.lock is not None  # noqa: S101  every handler has made one
        return self.lock


@contextmanager
def kept_lines() -> Iterator[EnvLogs]:
    """Keep this process' lines by environment inside the block."""
    logs = EnvLogs()
    logging.getLogger().addHandler(logs)
    try:
        yield logs
    finally:
        logging.getLogger().removeHandler(logs)


class LogDesk:
    """Answers who asks what was logged about an environment.

    Args:
        logs: This master's own lines.
        client: For calls to workers; None asks none.
    """

    def __init__(self, logs: EnvLogs, client: httpx.AsyncClient | None = None) -> None:
        self.logs, self._client = logs, client

    def add_to(self, app: FastAPI, routes: Routes, creates: Creates, fleet: Fleet) -> None:
        """Let the master's app answer."""

        @app.get("/api/logs/{env_id}", response_model=LogsReply)
        async def logs(
            env_id: str, limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = DEFAULT_LINES
        ) -> dict[str, Any]:
            """The master's lines about one environment; of one that has ended, its worker's as well."""
            route, ending = routes.find(env_id), routes.ending(env_id)
            lines, note = self.logs.lines(env_id, limit), None
            if not lines and route is None and ending is None and creates.find(env_id) is None:
                raise EnvNotFound(f"nothing is known here of an environment {env_id[:128]}: look at its id")
            worker_id = route.worker_id if route else ending.worker_id if ending else None
            if route is None and ending is not None:
                of_worker, note = await self._ask(fleet, worker_id, env_id, limit)
                lines = sorted([*of_worker, *lines], key=lambda line: float(line["at"]))[-limit:]
                note = f"the environment has ended ({ending.why}){'' if note is None else ': ' + note}"
            return {"as_of": time.time(), "lines": lines, "worker_id": worker_id, "note": note}

    async def _ask(
        self, fleet: Fleet, worker_id: str | None, env_id: str, limit: int
    ) -> tuple[list[Line], str | None]:
        """Return a worker's lines about an environment that it had, or why there are none."""
        url = next((each.url for each in fleet.snapshots() if each.worker_id == worker_id), None)
        if self._client is None or worker_id is None or url is None:
            return [], "its worker is gone, and its lines with it"
        try:
            async with asyncio.timeout(ASK_TIMEOUT_S):
                reply = await self._client.get(f"{url}/envs/{env_id}/logs", params={"limit": limit})
            if reply.status_code != 200:
                return [], f"worker {worker_id} has no lines of it any more"
            found = parse_body(LogsReply, reply.content).lines[-limit:]
            return [line.model_dump(exclude_none=True) for line in found], None
        except (httpx.HTTPError, TimeoutError, GymQueueError):
            return [], f"worker {worker_id}, where it was, does not answer"
