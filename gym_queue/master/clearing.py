"""Environments that are being closed because nobody wants them: a create of the same id waits for that."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gym_queue.errors import Cancelled, NoCapacity
from gym_queue.master.waiting import RETRY_AFTER_S

Closing = Callable[[str], asyncio.Future[None] | None]
"""Returns what ends with the close of an environment that is under way elsewhere."""


class Clearing:
    """What is being closed, and the creates that wait for it.

    Args:
        stray: Of environments that a worker reported and nobody wants.
    """

    def __init__(self, stray: Closing = lambda _env_id: None) -> None:
        self._stray = stray
        self._undoing: dict[str, asyncio.Future[None]] = {}
        self._waiters: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)

    def __contains__(self, env_id: object) -> bool:
        return env_id in self._undoing

    @property
    def is_busy(self) -> bool:
        """Whether anything is being undone: its slot is not free yet."""
        return bool(self._undoing)

    @contextmanager
    def during(self, env_id: str) -> Iterator[None]:
        """Hold up creates of this id inside the block."""
        undoing = self._undoing[env_id] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            if self._undoing.get(env_id) is undoing:
                del self._undoing[env_id]
            undoing.set_result(None)

    async def wait(self, env_id: str, timeout_s: float) -> None:
        """Wait until nothing of this id is being closed.

        Raises:
            Cancelled: The create was called off meanwhile.
            NoCapacity: It was not closed in time.
        """
        if env_id not in self._undoing and self._stray(env_id) is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._wait(env_id)
        except TimeoutError:
            raise NoCapacity(
                f"environment {env_id} cannot be created in {timeout_s:g} s: its predecessor is still being closed",
                {"retry_after_s": RETRY_AFTER_S},
            ) from None

    async def _wait(self, env_id: str) -> None:
        while (busy := self._undoing.get(env_id) or self._stray(env_id)) is not None:
            off: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters[env_id].add(off)
            try:
                await asyncio.wait([busy, off], return_when=asyncio.FIRST_COMPLETED)
            finally:
                self._waiters[env_id].discard(off)
                if not self._waiters[env_id]:
                    del self._waiters[env_id]
            if off.done():
                raise Cancelled(f"the create of environment {env_id} was cancelled")

    def call_off(self, env_id: str) -> bool:
        """Cancel the creates that wait; return whether there was one."""
        waiters = self._waiters.get(env_id, set())
        for off in waiters:
            if not off.done():
                off.set_result(None)
        return bool(waiters)
