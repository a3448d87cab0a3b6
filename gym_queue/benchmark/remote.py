"""The server of a remote run, as the run itself needs it: asked whether it is there, and told what to close."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from gym_queue.benchmark.watch import ANSWER_TIMEOUT_S, Ask
from gym_queue.errors import GymQueueError

logger = logging.getLogger(__name__)

CloseEnv = Callable[[str], None]
"""Closes the environment of an id, whatever became of the process that used it; returns at once."""


def asker(url: str) -> Ask:
    """Return what asks the server whether it is there."""
    from gym_queue.client.calls import Call  # a local run needs no client
    from gym_queue.client.retry import Retries
    from gym_queue.client.transport import transport_to

    transport = transport_to(url)
    once = Retries(connect_s=0)

    def ask() -> None:
        transport.send(Call("GET", "/health", timeout_s=ANSWER_TIMEOUT_S, retries=once))

    return ask


class RemoteCloser:
    """Closes environments whose loops have died, each in a thread: a slow one holds up no other.

    Args:
        url: Of the server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._threads: list[threading.Thread] = []

    def __call__(self, env_id: str) -> None:
        """See CloseEnv."""
        thread = threading.Thread(
            target=close_remote, args=(self._url, env_id), name="benchmark-close", daemon=True
        )
        self._threads = [each for each in self._threads if each.is_alive()] + [thread]
        thread.start()

    def finish(self, timeout_s: float) -> None:
        """Wait for what is being closed."""
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(deadline - time.monotonic(), 0.0))


def close_remote(url: str, env_id: str) -> None:
    """Close an environment, or cancel its create; what goes wrong is logged, for its lease ends it then.

    Args:
        url: Of its server.
        env_id: Its id.
    """
    from gym_queue.client import calls
    from gym_queue.client.transport import transport_to

    transport = transport_to(url)
    try:
        transport.send(calls.close(env_id))
    except GymQueueError as error:
        logger.info("the environment %s was not closed: %s", env_id, error)
    finally:
        transport.close()
