"""Environments that were opened after a restart while their client was still away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gym_queue.protocol.sessions import CreateReply

IsUnused = Callable[[CreateReply, float], Awaitable[bool]]
"""Environment, seconds → whether no call has touched it for that long."""


async def _nobody_knows(_reply: CreateReply, _unused_s: float) -> bool:
    return False


class Unclaimed:
    """Waits for their clients to ask again. An old master's answer may have reached one that never does.

    Args:
        is_unused: Asks the worker; an environment that is in use is nobody's orphan.
    """

    def __init__(self, is_unused: IsUnused = _nobody_knows) -> None:
        self.is_unused = is_unused
        self._waiting: dict[str, tuple[CreateReply, float, float]] = {}

    def add(self, reply: CreateReply, *, until: float, now: float) -> None:
        """Wait for the client of an environment; times are on the master's clock."""
        self._waiting[reply.env_id] = (reply, now, until)

    def claim(self, env_id: str) -> None:
        """Its client has asked for it."""
        self._waiting.pop(env_id, None)

    def due(self, now: float) -> list[tuple[CreateReply, float]]:
        """Return those whose client did not come, each with for how long it was there; they are let go."""
        due = [(reply, now - since) for reply, since, until in self._waiting.values() if until <= now]
        for reply, _ in due:
            del self._waiting[reply.env_id]
        return due
