"""How environments ended, remembered so that late calls hear of it."""

from __future__ import annotations

from collections import OrderedDict

from gym_queue.errors import EnvLost, EnvNotFound

REMEMBERED = 10_000
CLOSED = "closed"


class Ended:
    """The latest environments that ended on this worker, and how."""

    def __init__(self) -> None:
        self._why: OrderedDict[str, str] = OrderedDict()

    def note(self, env_id: str, why: str) -> None:
        """Remember how an environment ended; the first reason stays.

        Args:
            env_id: The environment.
            why: CLOSED, or what happened to it, to follow its name: ``its process died``.
        """
        self._why.setdefault(env_id, why)
        while len(self._why) > REMEMBERED:
            self._why.popitem(last=False)

    def forget(self, env_id: str) -> None:
        """An environment of this id lives again."""
        self._why.pop(env_id, None)

    def __contains__(self, env_id: object) -> bool:
        return env_id in self._why

    def error(self, env_id: str) -> EnvLost | EnvNotFound:
        """Return what calls to an environment that is not here are answered with."""
        why = self._why.get(env_id)
        if why is None or why == CLOSED:
            gone = "was closed" if why else "was never here"
            return EnvNotFound(f"there is no environment {env_id} on this worker: it {gone}")
        return EnvLost(
            f"environment {env_id} is lost: {why}; create a new environment",
            {"env_id": env_id},
        )
