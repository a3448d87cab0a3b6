"""Tickets for viewers: a browser can send no header with a WebSocket, and a token in a URL ends up in logs."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

TICKET_S = 30.0
PER_ENV = 32
"""Unused ones of one environment; the oldest goes first."""


class Tickets:
    """Each opens one viewer of one environment, once. Lives on one loop.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._issued: dict[str, tuple[str, float]] = {}

    def issue(self, env_id: str) -> str:
        """Return a new ticket, good for TICKET_S seconds."""
        now = self._clock()
        self._issued = {ticket: known for ticket, known in self._issued.items() if known[1] > now}
        mine = [ticket for ticket, known in self._issued.items() if known[0] == env_id]
        if len(mine) >= PER_ENV:
            del self._issued[mine[0]]
        ticket = secrets.token_urlsafe(24)
        self._issued[ticket] = env_id, now + TICKET_S
        return ticket

    def redeem(self, env_id: str, ticket: str) -> bool:
        """Return whether a ticket opens an environment's viewer; it opens nothing any more after that."""
        known = self._issued.pop(ticket, None)
        return known is not None and known[0] == env_id and known[1] > self._clock()
