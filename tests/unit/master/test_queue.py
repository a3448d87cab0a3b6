"""Who is served when, and who is tried again where."""

import asyncio

import pytest

from gym_queue.errors import (
    BrokerUnavailable,
    Cancelled,
    NoCapacity,
    NotSupported,
    RunnerFailed,
    RunnerUnavailable,
    WorkerUnreachable,
)
from tests.unit.master.desk import Desk, run, settle

BIG = {"env_dir": None, "env_spec": {"resources": {"cpu": 64}}}


@run
async def test_a_create_that_fits_nothing_free_does_not_hold_up_those_that_need_less(world, desk):
    world.register("big", max_envs=1, runners=["local"], resources={"cpu": 64})
    await desk.ask("e1", **BIG)
    waits = await desk.ask("e2", **BIG)
    world.register("small", runners=["local"], resources={"cpu": 1})
    await desk.ask("e3")
    assert list(zip(desk.sent_ids, desk.sent_to, strict=True)) == [("e1", "big"), ("e3", "small")]
    waits.cancel()


@run
async def test_a_create_that_one_worker_failed_does_not_hold_up_its_peers(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    await desk.ask("e1")
    world.register("w2", max_envs=1, runners=["local"])
    await desk.ask("e2")
    asked = await desk.ask("e3")
    desk.hand.fail("e2", RunnerFailed("died"))  # waits for w1; w2 is free for e3
    await settle()
    assert desk.sent_ids == ["e1", "e2", "e3"]
    asked.cancel()


@run
async def test_what_leaves_the_queue_lets_the_next_one_in_at_once(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    await desk.ask("e1")
    await desk.ask("e2", queue_timeout_s=10)
    await desk.ask("e3")
    world.routes.remove("e1", "closed")
    desk.creates.cancel("e2")
    await settle()
    assert desk.sent_ids == ["e1", "e3"]


@run
async def test_a_worker_starts_no_more_at_once_than_it_allows(world, desk):
    world.register("w1", max_envs=9, runners=["local"], max_starting=2)
    asked = [await desk.ask(f"e{number}") for number in range(4)]
    assert desk.sent_ids == ["e0", "e1"]
    assert desk.creates.find("e3").placement is None
    desk.hand.succeed("e0")
    await asked[0]
    await settle()
    assert desk.sent_ids == ["e0", "e1", "e2"]
    assert desk.creates.find("e3").why_not == {"w1": "already starts 2"}
    for task in asked:
        task.cancel()


@run
async def test_a_create_leaves_a_worker_that_stopped_answering_once_another_can_take_it(world, desk):
    world.register("w1", runners=["local"])
    world.beat("w1")
    asked = await desk.ask("e1")
    process = world.fleet.process("w1")
    world.fleet.unanswered("w1", process)
    world.register("w2", runners=["local"])
    desk.creates.tick()
    await settle()
    assert desk.sent_to == ["w1"]  # one question without an answer may be a slow machine
    world.fleet.unanswered("w1", process)
    desk.creates.tick()
    await settle()
    assert desk.sent_to == ["w1", "w2"]
    desk.hand.succeed("e1")
    assert (await asked).worker_id == "w2"
    world.beat("w1", "e1")
    assert world.strays == [("e1", "w1")]


@run
async def test_a_create_stays_with_a_silent_worker_while_no_other_can_take_it(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    for _ in range(3):
        world.fleet.unanswered("w1", world.fleet.process("w1"))
    desk.creates.tick()
    await settle()
    desk.hand.succeed("e1")
    assert (await asked).worker_id == "w1"


@run
async def test_what_a_worker_that_left_could_have_taken_is_worth_asking_again(world, desk):
    world.register("w1", runners=["docker"])
    world.fleet.deregister("w1", "left")
    world.register("w2", runners=["local"])
    with pytest.raises(
        NoCapacity, match=r"no worker of this fleet can ever take it.*; start a worker that can"
    ):
        await (await desk.ask("e1", runner="docker"))
    with pytest.raises(NotSupported, match="w2: has no qemu runner"):
        await (await desk.ask("e2", runner="qemu"))


@run
async def test_workers_that_cannot_run_it_do_not_use_up_the_tries(world, desk):
    for number in range(5):
        world.register(f"w{number}", runners=["local"])
    asked = await desk.ask("e1")
    for _ in range(4):
        desk.hand.fail("e1", RunnerUnavailable("its spec needs docker"))
        await settle()
    assert len(set(desk.sent_to)) == 5
    desk.hand.succeed("e1")
    assert (await asked).worker_id == desk.sent_to[-1]


@run
async def test_a_worker_that_cannot_run_an_environment_is_not_asked_for_it_again_for_a_while(world, desk):
    world.register("w1", max_envs=9, runners=["local"])
    first = await desk.ask("e1")
    desk.hand.fail("e1", RunnerUnavailable("its spec needs docker"))
    with pytest.raises(RunnerUnavailable):
        await first
    with pytest.raises(NoCapacity, match="its spec needs docker"):
        await (await desk.ask("e2"))
    await desk.ask("e3", env_dir="another")
    world.clock.now += 61
    world.beat("w1")
    await desk.ask("e4")
    assert desk.sent_ids == ["e1", "e3", "e4"]


@run
async def test_when_the_broker_is_away_no_worker_is_blamed_and_the_create_is_sent_again(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    for _ in range(5):
        desk.hand.fail("e1", BrokerUnavailable("the broker does not answer"))
        await settle()
        assert desk.creates.find("e1").why_not == {"broker": "the broker does not answer"}
        assert world.routes.count("w1") == 0
        world.clock.now += 1.1
        desk.creates.tick()
        await settle()
    assert desk.sent_to == ["w1"] * 6
    desk.hand.succeed("e1")
    assert (await asked).worker_id == "w1"


@run
async def test_a_create_waits_for_the_broker_no_longer_than_for_a_slot(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1", queue_timeout_s=10)
    desk.hand.fail("e1", BrokerUnavailable("the broker does not answer"))
    await settle()
    world.clock.now += 11
    desk.creates.tick()
    with pytest.raises(NoCapacity, match="the broker does not answer"):
        await asked


@run
async def test_a_worker_started_anew_is_sent_what_its_predecessor_had_on_the_way(world, desk):
    world.register("w1", runners=["local"], pid=1)
    asked = await desk.ask("e1")
    world.register("w1", runners=["local"], pid=2)
    await settle()
    assert desk.sent_to == ["w1", "w1"]
    desk.hand.succeed("e1")
    assert (await asked).worker_id == "w1"


@run
async def test_a_worker_that_drops_a_create_is_not_asked_again(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.fail("e1", WorkerUnreachable("hung up"))
    with pytest.raises(WorkerUnreachable):
        await asked
    assert desk.sent_to == ["w1"]


@run
async def test_a_create_given_up_is_closed_when_its_worker_carries_it_out_after_all(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.fail("e1", WorkerUnreachable("hung up"))
    with pytest.raises(WorkerUnreachable):
        await asked
    world.beat("w1", "e1")
    assert world.strays == [("e1", "w1")]
    assert world.routes.find("e1") is None


@run
async def test_a_create_sent_again_to_the_same_worker_is_wanted_there(world, desk):
    world.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.fail("e1", BrokerUnavailable("no answer"))
    await settle()
    world.clock.now += 2
    desk.creates.tick()
    await settle()
    desk.hand.succeed("e1")
    await asked
    world.beat("w1", "e1")
    assert world.strays == []


@run
async def test_everybody_in_line_is_told_why_it_waits(world, desk):
    world.register("w1", max_envs=1, runners=["local"])
    await desk.ask("e1")
    asked = [await desk.ask(f"e{number}", queue_timeout_s=9) for number in (2, 3)]
    world.clock.now += 10
    desk.creates.tick()
    for task in asked:
        with pytest.raises(NoCapacity, match="w1: "):
            await task


@run
async def test_a_create_waits_for_the_close_of_its_predecessor_no_longer_than_for_a_slot(world, desk):
    world.register("w1", runners=["local"])
    first = await desk.ask("e1")
    desk.undo_gate.clear()
    desk.creates.cancel("e1")
    with pytest.raises(Cancelled):
        await first
    desk.hand.succeed("e1")
    await settle()
    with pytest.raises(NoCapacity, match="its predecessor is still being closed"):
        await (await desk.ask("e1", queue_timeout_s=0.01))
    desk.undo_gate.set()
    await settle()


def test_with_wait_for_workers_what_nobody_can_take_waits_and_holds_nobody_up(world):
    async def test():
        desk = Desk(world, wait_for_workers=True)
        asked = await desk.ask("e1", runner="docker")
        world.register("w1", runners=["local"])
        await desk.ask("e2")
        assert desk.sent_ids == ["e2"]
        world.register("w2", runners=["docker"])
        await settle()
        desk.hand.succeed("e1")
        assert (await asked).worker_id == "w2"

    asyncio.run(test())
