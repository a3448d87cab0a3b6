"""What must go on, goes on."""

import asyncio

import pytest

from gym_queue.errors import NoCapacity
from gym_queue.master.ticking import tick_for_ever
from tests.unit.master.desk import Desk


def test_a_bug_in_a_tick_is_logged_and_the_next_one_comes(world, caplog):
    async def test():
        desk = Desk(world)
        world.register("w1", max_envs=1, runners=["local"])
        await desk.ask("e1")
        asked = await desk.ask("e2", queue_timeout_s=95)
        ticking = asyncio.ensure_future(tick_for_ever(world.fleet, desk.creates, pause_s=0))
        world.fleet.on_lost = lambda worker_id, queues: 1 / 0
        world.clock.now += 96
        with pytest.raises(NoCapacity):
            await asyncio.wait_for(asked, 10)
        ticking.cancel()

    asyncio.run(test())
    assert "ZeroDivisionError" in caplog.text
