"""Letting workers in: one live process for each worker id, and no other in its place."""

from __future__ import annotations

import asyncio

import httpx

from gym_queue.errors import Conflict
from gym_queue.master.fleet import Fleet
from gym_queue.protocol.fleet import Registration

HEALTH_TIMEOUT_S = 1.0


class Admission:
    """Registers workers, and refuses a second one under the id of one that lives.

    Args:
        fleet: Who is there.
        client: For asking workers whether they live.
    """

    def __init__(self, fleet: Fleet, client: httpx.AsyncClient) -> None:
        self._fleet = fleet
        self._client = client

    async def admit(self, registration: Registration, *, proven: bool = True) -> None:
        """Take a worker in; one that was started anew under its id gets in at once.

        Args:
            registration: What it says of itself.
            proven: Whether nothing speaks against its being who registered under this id before; if not, the one
                that did must be gone, wherever the new one says that it serves.

        Raises:
            Conflict: Another worker lives under this id.
        """
        worker_id = registration.worker_id
        rival_url = self._fleet.rival_url(registration) if proven else self._fleet.url(worker_id)
        if rival_url is not None and await self._lives(rival_url, worker_id):
            raise Conflict(
                f"another worker, at {rival_url}, is alive under the id {worker_id}: give each its own with --worker-id"
            )
        self._fleet.register(registration)

    async def _lives(self, url: str, worker_id: str) -> bool:
        """Return whether a worker of this id answers there; one that does not say its id counts."""
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT_S):
                reply = await self._client.get(f"{url}/health")
            found = reply.json()
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL, ValueError):
            return False
        return reply.is_success and isinstance(found, dict) and found.get("worker_id", worker_id) == worker_id
