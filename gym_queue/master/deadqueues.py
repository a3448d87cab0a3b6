"""Deleting the queues of workers that are gone, so that nothing in them ever runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

import celery

from gym_queue.broker.queues import delete_queues
from gym_queue.errors import BrokerUnavailable

logger = logging.getLogger(__name__)


class DeadQueues:
    """Deletes queues on threads; those that stay, because the broker is away, are tried again.

    Args:
        app: Whose broker.
        in_use: Returns the queues of workers that live: a worker may have come back under its id.
    """

    def __init__(self, app: celery.Celery, in_use: Callable[[], frozenset[str]]) -> None:
        self._app = app
        self._in_use = in_use
        self._left: set[str] = set()

    def delete(self, queues: Iterable[str]) -> None:
        """Delete a dead worker's queues, soon. Call it on the loop, as ``again``."""
        self._left.update(queues)
        self.again()

    def again(self) -> None:
        """Try those again that are left."""
        names, self._left = self._left - self._in_use(), set()
        if names:
            loop = asyncio.get_running_loop()
            loop.run_in_executor(None, self._delete, names, loop)

    def _delete(self, names: set[str], loop: asyncio.AbstractEventLoop) -> None:
        try:
            delete_queues(self._app, names)
        except BrokerUnavailable as error:
            logger.warning("the queues of a worker that is gone stay until the broker is back: %s", error)
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._left.update, names)
        except Exception:
            logger.exception("the queues of a worker that is gone stay on the broker")
