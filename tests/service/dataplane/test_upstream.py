"""The pool of connections to one worker."""

from __future__ import annotations

import asyncio
import time

from gym_queue.master.dataplane.limits import Limits
from gym_queue.master.dataplane.upstream import UpstreamPool
from tests.service.dataplane.rig import TIMEOUT_S, Worker


def small_pool(worker: Worker) -> UpstreamPool:
    return UpstreamPool(worker.url, Limits(worker_connections=1), asyncio.get_running_loop())


def test_a_connection_put_back_before_a_call_begins_to_wait_is_its_own(worker: Worker) -> None:
    async def check() -> None:
        pool = small_pool(worker)
        connection = await pool.connect()
        call = asyncio.ensure_future(pool.connect())  # has looked for an idle one, and is about to wait
        pool.put(connection, time.monotonic())
        assert await asyncio.wait_for(call, TIMEOUT_S) is connection
        connection.close()

    asyncio.run(check())


def test_a_wait_given_up_once_its_connection_had_come_hands_it_to_the_next(worker: Worker) -> None:
    async def check() -> None:
        pool = small_pool(worker)
        connection = await pool.connect()
        first, second = (asyncio.ensure_future(pool.connect()) for _ in range(2))
        await asyncio.sleep(0)  # both wait now
        pool.put(connection, time.monotonic())
        first.cancel()
        assert await asyncio.wait_for(second, TIMEOUT_S) is connection
        assert first.cancelled()
        connection.close()

    asyncio.run(check())
