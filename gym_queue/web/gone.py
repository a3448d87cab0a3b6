"""Work that ends when the client that asked for it goes away."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from gym_queue.errors import Cancelled

T = TypeVar("T")


async def unless_gone(http: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``, and cancel it when the client goes away.

    Raises:
        Cancelled: The client went away; nobody reads this, but the log.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_until_gone(http))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Cancelled("the client went away before it was answered")
    finally:
        task.cancel()
        gone.cancel()


async def _until_gone(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass
