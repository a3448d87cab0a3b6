import asyncio

import pytest

from gym_queue.errors import (
    BadReply,
    Cancelled,
    Conflict,
    GymQueueError,
    MasterUnreachable,
    NoCapacity,
    NotSupported,
    RequestInvalid,
    RunnerFailed,
    SpecInvalid,
)
from gym_queue.master.clearing import Clearing
from gym_queue.master.placement import Placement
from tests.unit.master.desk import Desk, run, settle


@run
async def test_a_create_is_placed_dispatched_and_routed(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1", runner="local")
    assert desk.hand.sent == [("e1", Placement("w1", "http://w1:5900", "local", "env.local.w1"))]
    desk.hand.succeed("e1")
    reply = await asked
    assert (reply.env_id, reply.worker_id) == ("e1", "w1")
    assert world.routes.forwardable("e1").worker_id == "w1"


@run
async def test_the_same_id_again_gets_the_same_environment(world, desk):
    world.register("w1", runners=["local"])
    first, second = await desk.ask("e1"), await desk.ask("e1")
    desk.hand.succeed("e1")
    assert await first == await second
    third = await desk.ask("e1")
    assert await third == await first
    assert desk.sent_ids == ["e1"]


@run
async def test_a_create_waits_for_a_slot_and_is_served_when_one_comes_free(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    first, second = await desk.ask("e1"), await desk.ask("e2")
    desk.hand.succeed("e1")
    await first
    assert [w.env_id for w in desk.creates.queue()] == ["e2"]
    world.routes.remove("e1", "closed")
    desk.creates.pump()
    await settle()
    desk.hand.succeed("e2")
    assert (await second).env_id == "e2"


@run
async def test_waiting_creates_are_served_by_priority_then_arrival(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    tasks = [
        await desk.ask("e1"),
        await desk.ask("low1"),
        await desk.ask("low2"),
        await desk.ask("high", priority=9),
    ]
    for env_id in ("e1", "high", "low1", "low2"):
        desk.hand.succeed(env_id)
        await settle()
        world.routes.remove(env_id, "closed")
        desk.creates.pump()
        await settle()
    assert desk.sent_ids == ["e1", "high", "low1", "low2"]
    await asyncio.gather(*tasks)


@run
async def test_one_capability_does_not_block_another(world, desk):
    world.register("w1", max_envs=1, runners=["docker"])
    world.register("w2", max_envs=1, runners=["local"])
    await desk.ask("d1", runner="docker")
    blocked = await desk.ask("d2", runner="docker")
    await desk.ask("t1", runner="local")
    assert desk.sent_ids == ["d1", "t1"]
    desk.creates.cancel("d2")
    with pytest.raises(Cancelled):
        await blocked


@run
async def test_a_create_that_waits_too_long_is_refused_with_the_reasons(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    await desk.ask("e1")
    asked = await desk.ask("e2", queue_timeout_s=10)
    world.clock.now += 11
    desk.creates.tick()
    with pytest.raises(NoCapacity, match="no slot came free in 11 s") as caught:
        await asked
    assert caught.value.details["unplaceable"] == {"w1": "all 1 slots are taken"}


@run
async def test_without_workers_the_refusal_comes_at_once(world, desk):
    with pytest.raises(NoCapacity, match="no worker is registered"):
        await (await desk.ask("e1"))


@run
async def test_a_need_no_worker_can_ever_meet_is_refused_at_once(world, desk):
    world.register("w1", runners=["local"])
    with pytest.raises(
        NotSupported, match=r"no worker of this fleet can ever take it.*w1: has no docker runner"
    ):
        await (await desk.ask("e1", runner="docker"))


@run
async def test_an_unknown_runner_is_a_wrong_request(world, desk):
    with pytest.raises(RequestInvalid, match="'dockre' is unknown"):
        await (await desk.ask("e1", runner="dockre"))


@run
async def test_a_create_that_fails_on_one_worker_is_sent_to_another_under_the_same_id(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    world.register("w2", runners=["local"])
    desk.hand.fail("e1", RunnerFailed("the sandbox died"))
    await settle()
    assert [placement.worker_id for _, placement in desk.hand.sent] == ["w1", "w2"]
    desk.hand.succeed("e1")
    assert (await asked).worker_id == "w2"
    assert world.routes.count("w1") == 0


@run
async def test_a_wrong_request_is_not_tried_elsewhere(world, desk):
    world.register("w1", runners=["local"])
    world.register("w2", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.fail("e1", SpecInvalid("env.json:1:1: no"))
    with pytest.raises(SpecInvalid):
        await asked
    assert len(desk.hand.sent) == 1
    assert [world.routes.count(w) for w in ("w1", "w2")] == [0, 0]


@run
async def test_the_last_workers_error_is_handed_on(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.fail("e1", RunnerFailed("the sandbox died"))
    with pytest.raises(RunnerFailed, match="the sandbox died"):
        await asked


@run
async def test_a_client_that_leaves_the_queue_frees_its_place(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    await desk.ask("e1")
    asked = await desk.ask("e2")
    asked.cancel()
    await settle()
    assert desk.creates.queue() == []


@run
async def test_an_environment_whose_client_left_during_its_create_is_undone(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    asked.cancel()
    await settle()
    desk.hand.succeed("e1")
    await settle()
    assert desk.undone == ["e1"]
    assert world.routes.count("w1") == 0


@run
async def test_one_of_two_callers_that_leaves_does_not_cancel_the_other(world, desk):
    world.register("w1", runners=["local"])
    first, second = await desk.ask("e1"), await desk.ask("e1")
    first.cancel()
    await settle()
    desk.hand.succeed("e1")
    assert (await second).env_id == "e1"
    assert desk.undone == []


@run
async def test_a_shutdown_answers_every_create(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    tasks = [await desk.ask("e1"), await desk.ask("e2")]
    desk.creates.stop()
    for task in tasks:
        with pytest.raises(MasterUnreachable, match="is stopping"):
            await task


@run
async def test_a_workers_own_id_is_routed_and_answered(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.succeed("e1", as_id="other")
    assert (await asked).env_id == "other"
    assert world.routes.forwardable("other").worker_id == "w1"
    assert world.routes.find("e1") is None
    assert world.routes.count("w1") == 1


@run
async def test_a_retry_finds_what_its_worker_called_otherwise(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.succeed("e1", as_id="other")
    assert await (await desk.ask("e1")) == await asked
    assert desk.sent_ids == ["e1"]


@run
async def test_a_worker_cannot_answer_with_an_environment_of_another(world, desk):
    world.register("w1", runners=["local"])
    world.beat("w1", "taken")
    world.register("w2", runners=["docker"])
    asked = await desk.ask("e1", runner="docker")
    desk.hand.succeed("e1", as_id="taken")
    with pytest.raises(BadReply, match="lives on worker w1"):
        await asked
    assert world.routes.forwardable("taken").worker_id == "w1"
    assert world.routes.count("w2") == 0


@run
async def test_a_bug_on_the_way_is_answered_and_frees_the_slot(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.fail("e1", ZeroDivisionError())
    with pytest.raises(GymQueueError, match="its log has the details"):
        await asked
    assert world.routes.count("w1") == 0


@run
async def test_a_retry_after_the_client_left_gets_the_environment(world, desk):
    world.register("w1", runners=["local"])
    first = await desk.ask("e1")
    first.cancel()
    await settle()
    again = await desk.ask("e1")
    desk.hand.succeed("e1")
    assert (await again).env_id == "e1"
    assert (desk.sent_ids, desk.undone) == (["e1"], [])


@run
async def test_a_retry_while_the_first_is_undone_gets_a_new_environment_after_it(world, desk):
    world.register("w1", runners=["local"])
    desk.undo_gate.clear()
    (await desk.ask("e1")).cancel()
    await settle()
    desk.hand.succeed("e1")
    again = await desk.ask("e1")
    assert desk.sent_ids == ["e1"]
    desk.undo_gate.set()
    await settle()
    desk.hand.succeed("e1")
    assert (await again).env_id == "e1"
    assert (desk.sent_ids, desk.undone) == (["e1", "e1"], ["e1"])


@run
async def test_an_undone_environment_counts_as_closed_before_it_is(world, desk):
    world.register("w1", runners=["local"])
    desk.undo_gate.clear()
    asked = await desk.ask("e1")
    desk.creates.cancel("e1")
    desk.hand.succeed("e1")
    await settle()
    assert world.routes.ended("e1") == "closed"
    assert world.routes.closed_count == 0
    desk.undo_gate.set()
    with pytest.raises(Cancelled):
        await asked


@run
async def test_a_cancelled_create_counts_as_closed(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    await desk.ask("e1")
    asked = await desk.ask("e2")
    assert desk.creates.cancel("e2")
    assert world.routes.ended("e2") == "closed"
    with pytest.raises(Cancelled):
        await asked


@run
async def test_another_request_under_the_same_id_is_a_conflict(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1", task_id="a")
    with pytest.raises(Conflict, match="another request"):
        await (await desk.ask("e1", task_id="b"))
    desk.hand.succeed("e1")
    await asked
    with pytest.raises(Conflict, match="another request"):
        await (await desk.ask("e1", task_id="b"))
    assert (await (await desk.ask("e1", task_id="a", queue_timeout_s=1, priority=3))).env_id == "e1"


@pytest.mark.parametrize("runner", ["dockre", 7, ["docker"], {}])
def test_an_unknown_runner_in_the_spec_is_a_wrong_request(world, runner):
    async def test():
        with pytest.raises(RequestInvalid, match=r"env_spec.runner: .* is unknown"):
            await (await Desk(world).ask("e1", env_dir=None, env_spec={"runner": runner}))

    asyncio.run(test())


@run
async def test_after_a_shutdown_creates_are_refused(world, desk):
    world.register("w1", runners=["local"])
    desk.creates.stop()
    with pytest.raises(MasterUnreachable, match="is stopping"):
        await (await desk.ask("e1"))
    assert desk.sent_ids == []


@run
async def test_a_worker_that_says_it_is_full_is_asked_again_in_a_moment(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    asked = await desk.ask("e1")
    for _ in range(5):
        desk.hand.fail("e1", NoCapacity("all 1 slots of this worker are taken"))
        await settle()
        assert not asked.done()
        (waiting,) = desk.creates.queue()
        assert waiting.why_not == {"w1": "said that it is full"}
        world.clock.now += 1.1
        desk.creates.tick()
        await settle()
    desk.hand.succeed("e1")
    assert (await asked).worker_id == "w1"
    assert desk.sent_to == ["w1"] * 6


@run
async def test_another_worker_takes_what_a_full_one_cannot(world, desk):
    world.register("w1", max_envs=4, runners=["local"])
    asked = await desk.ask("e1")
    world.register("w2", max_envs=1, runners=["local"])
    desk.hand.fail("e1", NoCapacity("all slots are taken"))
    await settle()
    assert desk.sent_to == ["w1", "w2"]
    desk.hand.succeed("e1")
    await asked


@run
async def test_a_create_waits_while_an_unwanted_environment_of_its_id_is_closed(world, desk):
    closing = {"e1": asyncio.get_running_loop().create_future()}
    desk = Desk(world, clearing=Clearing(closing.get))
    world.register("w1", runners=["local"])
    asked, called_off = await desk.ask("e1"), await desk.ask("e1")
    assert desk.sent_ids == []
    assert desk.creates.cancel("e1")
    for task in (asked, called_off):
        with pytest.raises(Cancelled):
            await task
    again = await desk.ask("e1")
    closing.pop("e1").set_result(None)
    await settle()
    desk.hand.succeed("e1")
    assert (await again).env_id == "e1"


@run
async def test_what_no_worker_can_ever_take_says_that_waiting_is_no_use(world, desk):
    with pytest.raises(NoCapacity) as caught:
        await (await desk.ask("e1"))
    assert caught.value.details["hopeless"] is True
