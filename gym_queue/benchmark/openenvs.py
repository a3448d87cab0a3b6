"""The environments that a loop has open, so that a cancelled run leaves none behind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial

from gym_queue.benchmark.messages import Job
from gym_queue.benchmark.opener import OpenEnv
from gym_queue.errors import Cancelled
from gym_queue.protocol.surface import GymEnv

logger = logging.getLogger(__name__)


class OpenEnvs:
    """Opens environments through one door, which a cancel shuts.

    Args:
        open_env: Opens the environment of a job.
        abandon: Closes, by its id, an environment that is still being opened; returns when it is done.
    """

    def __init__(self, open_env: OpenEnv, abandon: Callable[[str], None] = lambda _: None) -> None:
        self._open_env, self._abandon = open_env, abandon
        self._opening: set[str] = set()
        self._lock = threading.Lock()
        self._open: dict[int, GymEnv] = {}
        self._is_cancelled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether the run was cancelled."""
        return self._is_cancelled

    def open(self, job: Job) -> GymEnv:
        """Open a job's environment; ``close`` comes after it, however it is used.

        Raises:
            Cancelled: The run was cancelled before the environment was there.
        """
        self._check()
        with self._lock:
            self._opening.add(job.env_id)
        try:
            env = self._open_env(job)
        except BaseException:
            with self._lock:
                self._opening.discard(job.env_id)
            raise
        with self._lock:
            self._opening.discard(job.env_id)
            self._open[id(env)] = env
        try:
            self._check()  # a cancel that came while it opened did not see it
        except Cancelled:
            self.close(env)
            raise
        return env

    def close(self, env: GymEnv) -> None:
        """Close an environment; what goes wrong is logged, for it changes no verdict."""
        _close(env)
        with self._lock:
            self._open.pop(id(env), None)

    def cancel(self) -> list[threading.Thread]:
        """Open no more, and begin to close what is open, or is being opened.

        Returns:
            The threads that close, one for each environment: a slow one holds up no other.
        """
        self._is_cancelled = True
        with self._lock:
            work = [partial(_close, env) for env in self._open.values()]
            work += [partial(self._abandon, env_id) for env_id in self._opening]
        closers = [threading.Thread(target=each, name="benchmark-close", daemon=True) for each in work]
        for closer in closers:
            closer.start()
        return closers

    def _check(self) -> None:
        if self._is_cancelled:
            raise Cancelled("the run was cancelled")


def _close(env: GymEnv) -> None:
    try:
        env.close()
    except Exception:
        logger.exception("an environment could not be closed; its worker will close it when it is idle")
