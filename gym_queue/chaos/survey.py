"""Asks master and workers what they have."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from gym_queue.client.calls import Call, encode
from gym_queue.client.network import LoopNetwork
from gym_queue.client.retry import SAFE
from gym_queue.client.transport import Carrier
from gym_queue.errors import GymQueueError

CALL_TIMEOUT_S = 10.0
POLL_S = 0.05


class Survey:
    """Reads a fleet's state, and changes what an operator may.

    Args:
        url: The master's.
        token: The cluster token.
    """

    def __init__(self, url: str, token: str) -> None:
        self._url, self._token = url, token
        self._network = LoopNetwork()
        self._master = Carrier(url, token, self._network)

    async def get(self, path: str) -> dict[str, Any]:
        """Return what the master answers."""
        return await self._master.send(Call("GET", path, CALL_TIMEOUT_S, SAFE))

    async def workers(self) -> dict[str, dict[str, Any]]:
        """Return the workers' entries of ``/workers/list``, by id."""
        return {entry["worker_id"]: entry for entry in (await self.get("/workers/list"))["workers"]}

    async def waiting(self) -> list[str]:
        """Return the ids of creates that wait for a slot, first to be served first."""
        return [create["env_id"] for create in (await self.get("/queue"))["waiting"]]

    async def set_draining(self, worker_id: str, *, draining: bool) -> None:
        """Drain a worker, or undo that."""
        path = f"/workers/{'drain' if draining else 'undrain'}"
        await self._master.send(Call("POST", path, CALL_TIMEOUT_S, SAFE, encode({"worker_id": worker_id})))

    async def envs_on_workers(self) -> list[str]:
        """Return the ids of the environments that the workers themselves have, each as often as it is there."""
        found: list[str] = []
        for entry in (await self.workers()).values():
            if entry["status"] == "dead":
                continue
            worker = Carrier(entry["url"], self._token, self._network)
            try:
                reply = await worker.send(Call("GET", "/envs/list", CALL_TIMEOUT_S, SAFE))
                found += reply["environments"]
            finally:
                worker.close()
        return found

    async def slots_in_use(self) -> int:
        """Return how many slots are taken, by whichever side knows of more; waiting creates count too."""
        workers, waiting = await self.workers(), await self.waiting()
        routed: int = sum(entry["effective_count"] for entry in workers.values() if entry["status"] != "dead")
        return max(routed, len(await self.envs_on_workers())) + len(waiting)

    async def slots_left(self, timeout_s: float) -> int:
        """Return how many slots are still taken after at most ``timeout_s``, when all should be free."""
        left = -1

        async def is_free() -> bool:
            nonlocal left
            left = await self.slots_in_use()
            return left == 0

        await holds(is_free, timeout_s)
        return left

    def close(self) -> None:
        """Close the connections."""
        self._master.close()


async def holds(predicate: Callable[[], Awaitable[bool]], timeout_s: float) -> float | None:
    """Wait until a predicate holds; return after how many seconds, None when it does not in time.

    Errors of ours count as not yet.
    """
    start = time.monotonic()
    while True:
        with suppress(GymQueueError):
            if await predicate():
                return time.monotonic() - start
        if time.monotonic() - start > timeout_s:
            return None
        await asyncio.sleep(POLL_S)


async def becomes(predicate: Callable[[], bool], timeout_s: float) -> float | None:
    """As ``holds``, for what is known here."""
    start = time.monotonic()
    while not predicate():
        if time.monotonic() - start > timeout_s:
            return None
        await asyncio.sleep(POLL_S / 5)
    return time.monotonic() - start
