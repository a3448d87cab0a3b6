"""Closed loops: each connection asks again as soon as it is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from gym_queue.errors import GymQueueError
from gym_queue.stress.figures import Figures, Sample
from gym_queue.stress.wire import Caller


async def closed_loop(asks: Sequence[tuple[str, bytes]], seconds: float, *, timeout_s: float) -> Figures:
    """Ask over and over, on a connection for each of ``asks``, and sum up.

    Args:
        asks: A server's URL, and the request sent to it.
        seconds: When to stop asking.
        timeout_s: How long, after that, the last answers may take.
    """
    sample, callers = Sample(), [Caller(url) for url, _ in asks]
    start = time.perf_counter()
    until = start + seconds

    async def loop(caller: Caller, request: bytes) -> None:
        while time.perf_counter() < until:
            await ask_timed(caller, request, sample)

    try:
        async with asyncio.timeout(seconds + timeout_s):
            pairs = zip(callers, asks, strict=True)
            await together(loop(caller, request) for caller, (_, request) in pairs)
    except TimeoutError:
        sample.errors["load_timeout"] += 1
    finally:
        for caller in callers:
            caller.close()
    return sample.figures(time.perf_counter() - start)


async def together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run coroutines side by side; the first failure ends the others and is raised, once they have ended."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask_timed(caller: Caller, request: bytes, sample: Sample) -> None:
    """Ask once; count how long it took, or how it failed."""
    start = time.perf_counter()
    try:
        (await caller.ask(request)).check()
    except GymQueueError as error:
        sample.errors[error.code] += 1
    else:
        sample.seconds.append(time.perf_counter() - start)
