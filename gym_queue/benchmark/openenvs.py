"""The environments that attempts have open, so that a cancelled run leaves none behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gym_queue.benchmark.opener import OpenEnv
from gym_queue.errors import Cancelled
from gym_queue.protocol.surface import GymEnv

logger = logging.getLogger(__name__)


class OpenEnvs:
    """Opens environments through one door, which a cancel shuts.

    Args:
        open_env: Opens the environment of a task id.
    """

    def __init__(self, open_env: OpenEnv) -> None:
        self._open_env = open_env
        self._lock = threading.Lock()
        self._open: dict[int, GymEnv] = {}
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self._is_cancelled

    @contextmanager
    def open(self, task_id: str) -> Iterator[GymEnv]:
        """Open a task's environment for the length of a block; it is closed however the block ends.

        Raises:
            Cancelled: The run was cancelled before the environment was there.
        """
        self._check()
        env = self._open_env(task_id)
        with self._lock:
            self._open[id(env)] = env
        try:
            self._check()  # a cancel that came while it opened did not see it
            yield env
        finally:
            _close(env)
            with self._lock:
                del self._open[id(env)]

    def cancel(self) -> list[threading.Thread]:
        """Open no more, and begin to close what is open.

        Returns:
            The threads that close, one for each environment: a slow one holds up no other.
        """
        self._is_cancelled = True
        with self._lock:
            envs = list(self._open.values())
        closers = [
            threading.Thread(target=_close, args=(env,), name="benchmark-close", daemon=True) for env in envs
        ]
        for closer in closers:
            closer.start()
        return closers

    def _check(self) -> None:
        if self._is_cancelled:
            raise Cancelled("the run was cancelled")


def _close(env: GymEnv) -> None:
    """Close an environment; what goes wrong is logged, for it changes no verdict."""
    try:
        env.close()
    except Exception:
        logger.exception("an environment could not be closed; its worker will close it when it is idle")
