"""A worker that lacks the memory for one virtual machine is passed over by that create alone."""

from __future__ import annotations

from gym_queue.errors import NoCapacity
from tests.unit.master.desk import run, settle

LACKS = {"lacks_memory": True, "retry_after_s": 5}


@run
async def test_a_worker_without_the_memory_for_one_environment_takes_others_meanwhile(world, desk):
    world.register("w1", max_envs=4, runners=["local", "qemu"])
    large = await desk.ask("e1", runner="qemu")
    desk.hand.fail("e1", NoCapacity("e1 needs 8.0 GiB, and 1.0 GiB are free", LACKS))
    await settle()
    (waiting,) = desk.creates.queue()
    assert waiting.why_not == {"w1": "e1 needs 8.0 GiB, and 1.0 GiB are free"}
    await desk.ask("e2", runner="local")
    assert desk.sent_ids == ["e1", "e2"]
    world.clock.now += 5.1
    desk.creates.tick()
    await settle()
    desk.hand.succeed("e1")
    assert (await large).worker_id == "w1"


@run
async def test_another_worker_takes_what_one_lacks_the_memory_for(world, desk):
    world.register("w1", max_envs=4, runners=["qemu"])
    asked = await desk.ask("e1", runner="qemu")
    world.register("w2", max_envs=4, runners=["qemu"])
    desk.hand.fail("e1", NoCapacity("e1 needs 8.0 GiB, and 1.0 GiB are free", LACKS))
    await settle()
    assert desk.sent_to == ["w1", "w2"]
    desk.hand.succeed("e1")
    await asked
