"""Closing environments that nobody wants, on the workers that have them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import httpx

from gym_queue.protocol.sessions import CreateReply

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT_S = 30.0
TOUCH_S = 1.0
"""A worker opens an environment so much, or less, before its master hears of it."""
PAUSES_S = (0.5, 2.0, 5.0)
"""Between the tries to undo a create; after the last one the worker's heartbeats bring it up again."""


class Closer:
    """Closes environments by HTTP.

    Args:
        client: For calls to workers.
        pauses_s: Between the tries of ``undo``; seconds.
    """

    def __init__(self, client: httpx.AsyncClient, *, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._client = client
        self._pauses_s = tuple(pauses_s)
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def undo(self, reply: CreateReply) -> None:
        """Close an environment whose client has gone, trying a few times."""
        logger.info("closing environment %s: its client has gone", reply.env_id)
        for pause_s in (*self._pauses_s, None):
            if await self._close(reply.env_id, str(reply.worker_url)) or pause_s is None:
                return
            await asyncio.sleep(pause_s)

    async def is_unused(self, reply: CreateReply, unused_s: float) -> bool:
        """Return whether no call has touched an environment for so many seconds; False when that is unknown."""
        try:
            listed = await self._client.get(f"{reply.worker_url}/envs/list", timeout=CLOSE_TIMEOUT_S)
            entry = listed.json()["environments"][reply.env_id]
            return float(entry["idle_seconds"]) >= unused_s - TOUCH_S
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            logger.warning(
                "environment %s stays: %s does not say whether it is used: %r",
                reply.env_id,
                reply.worker_url,
                error,
            )
            return False

    def close_stray(self, env_id: str, worker_id: str, worker_url: str) -> None:
        """Close, in the background, what a worker has and nobody wants; its next heartbeat is the next try."""
        key = (env_id, worker_url)
        if key in self._tasks:
            return
        logger.info("closing environment %s on worker %s: nobody waits for it there", env_id, worker_id)
        task = self._tasks[key] = asyncio.ensure_future(self._try_close(env_id, worker_url))
        task.add_done_callback(lambda _task: self._tasks.pop(key, None))

    def stray(self, env_id: str) -> asyncio.Future[None] | None:
        """Return the close of an unwanted environment that is under way, if there is one."""
        return next((task for (closed, _), task in self._tasks.items() if closed == env_id), None)

    def stop(self) -> None:
        """Give up what is being closed."""
        for task in list(self._tasks.values()):
            task.cancel()

    async def _try_close(self, env_id: str, worker_url: str) -> None:
        try:
            await self._close(env_id, worker_url)
        except Exception:
            logger.exception("closing environment %s failed, which is a bug", env_id)

    async def _close(self, env_id: str, worker_url: str) -> bool:
        """Return whether the worker does not have the environment any more."""
        try:
            reply = await self._client.post(f"{worker_url}/envs/{env_id}/close", timeout=CLOSE_TIMEOUT_S)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
        else:
            if reply.is_success or reply.status_code in (404, 410):
                return True
            why = f"it answered {reply.status_code}"
        logger.warning("environment %s could not be closed on %s: %s", env_id, worker_url, why)
        return False
