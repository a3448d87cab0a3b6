"""Asks workers whether they live, when there is cause to doubt it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import httpx

from gym_queue.master.fleet import Fleet

logger = logging.getLogger(__name__)

TIMEOUT_S = 2.0
"""How long a worker may take to answer ``GET /health``."""
SURE_AFTER_S = 0.2
"""A refused connection is tried once more after this long: only then nobody listens there."""
AT_ONCE = 50
"""Workers that are asked at the same time."""


class Watch:
    """Calls ``GET /health`` of workers that fleet doubts, and tells it what came of it.

    Args:
        fleet: Whose workers.
        client: For calls to workers.
        timeout_s: How long one may take to answer.
    """

    def __init__(self, fleet: Fleet, client: httpx.AsyncClient, *, timeout_s: float = TIMEOUT_S) -> None:
        self._fleet = fleet
        self._client = client
        self._timeout_s = timeout_s
        self._asked: dict[str, asyncio.Task[None]] = {}

    def tick(self) -> None:
        """Ask those that are in doubt, as many as may be asked at once."""
        for worker_id in self._fleet.doubtful()[: AT_ONCE - len(self._asked)]:
            self.ask(worker_id)

    def ask(self, worker_id: str) -> None:
        """Ask one worker now, unless it is being asked."""
        if worker_id in self._asked or (found := self._fleet.question(worker_id)) is None:
            return
        task = self._asked[worker_id] = asyncio.ensure_future(self._ask(worker_id, *found))
        task.add_done_callback(lambda _task: self._asked.pop(worker_id, None))

    def stop(self) -> None:
        """Give up what is being asked."""
        for task in list(self._asked.values()):
            task.cancel()

    async def _ask(self, worker_id: str, process: int, url: str) -> None:
        try:
            is_there = await self._is_there(url, worker_id)
            if is_there is False:
                await asyncio.sleep(SURE_AFTER_S)
                is_there = await self._is_there(url, worker_id)
        except Exception:
            logger.exception("worker %s could not be asked whether it lives, which is a bug", worker_id)
            return
        if is_there:
            self._fleet.answered(worker_id, process)
        elif is_there is None:
            logger.warning(
                "worker %s at %s does not answer: it gets nothing new until it does", worker_id, url
            )
            self._fleet.unanswered(worker_id, process)
        else:
            logger.warning("worker %s is gone: nothing of it answers at %s", worker_id, url)
            self._fleet.refused(worker_id, process)

    async def _is_there(self, url: str, worker_id: str) -> bool | None:
        """Return whether a worker serves; None when there is no saying."""
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await self._client.get(f"{url}/health")
            found = reply.json()
        except httpx.ConnectError as error:
            return False if _is_refused(error) else None
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None
        if not (reply.is_success and isinstance(found, dict)):
            return None
        return bool(
            found.get("worker_id", worker_id) == worker_id
        )  # workers of others may not say who they are


def _is_refused(error: BaseException) -> bool:
    """Return whether every address of a host refused the connection, which tells that no process listens."""
    found = [leaf for leaf in _causes(error) if isinstance(leaf, OSError) and leaf.errno is not None]
    return bool(found) and all(isinstance(leaf, ConnectionRefusedError) for leaf in found)


def _causes(error: BaseException) -> Iterator[BaseException]:
    yield error
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _causes(part)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        yield from _causes(cause)
