"""The call that tells what was logged about an environment of this worker."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any

from fastapi import FastAPI, Query

from gym_queue.errors import GymQueueError
from gym_queue.protocol.logs import DEFAULT_LINES, MAX_LINES, LogsReply
from gym_queue.worker.host import Host


def add_logs(app: FastAPI, host: Host, worker_id: str) -> None:
    """Let the app answer; that is no use of the environment."""

    @app.get("/envs/{env_id}/logs", response_model=LogsReply)
    async def logs(
        env_id: str, limit: Annotated[int, Query(ge=1, le=MAX_LINES)] = DEFAULT_LINES
    ) -> dict[str, Any]:
        """The latest lines about an environment."""
        lines = await asyncio.to_thread(host.logs.lines, env_id, limit)
        if lines is None:
            host.get(env_id)
        return {
            "as_of": time.time(),
            "lines": lines or [],
            "worker_id": worker_id,
            "note": _note(host, env_id),
        }


def _note(host: Host, env_id: str) -> str | None:
    """Return how an environment ended, if it did."""
    if env_id in host.snapshot():
        return None
    try:
        host.get(env_id)
    except GymQueueError as error:
        return error.message
    return None
