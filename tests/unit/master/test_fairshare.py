"""A full fleet is shared by name: within a priority, who has the fewest goes first."""

from __future__ import annotations

import asyncio

from gym_queue.master.fairshare import FairShare
from gym_queue.master.ownership import Ownership
from tests.unit.master.desk import Desk, settle


def shared(test):
    """Run an async test with creates that are shared fairly among names."""

    def run(world):
        async def go():
            ownership = Ownership(world.routes)
            share = FairShare(ownership.owner, ownership.running)
            desk = Desk(world, order=share.order)
            ownership.is_waiting = lambda env_id: desk.creates.find(env_id) is not None

            async def ask(env_id, name, **fields):
                ownership.put(env_id, name)
                return await desk.ask(env_id, **fields)

            tasks = await test(world, desk, ask)
            for task in tasks:
                task.cancel()

        asyncio.run(go())

    return run


async def free(world, desk, *env_ids):
    for env_id in env_ids:
        desk.hand.succeed(env_id)
        await settle()
        world.routes.remove(env_id, "closed")
    desk.creates.pump()
    await settle()


@shared
async def test_a_name_with_few_goes_before_one_with_many_that_came_first(world, desk, ask):
    world.register("w1", max_envs=2, runners=["local"])
    tasks = [await ask(f"a{number}", "ann") for number in range(4)]
    tasks.append(await ask("b0", "bob"))
    await free(world, desk, "a0")
    assert desk.sent_ids == ["a0", "a1", "b0"]
    return tasks


@shared
async def test_names_take_turns_when_slots_come_free_at_once(world, desk, ask):
    world.register("w1", max_envs=4, runners=["local"])
    tasks = [await ask(f"x{number}", None) for number in range(4)]
    tasks += [await ask(f"a{number}", "ann") for number in range(3)]
    tasks += [await ask(f"b{number}", "bob") for number in range(3)]
    for number in range(4):
        desk.hand.succeed(f"x{number}")
    await settle()
    for number in range(4):
        world.routes.remove(f"x{number}", "closed")
    desk.creates.pump()
    await settle()
    assert desk.sent_ids[4:] == ["a0", "b0", "a1", "b1"]
    return tasks


@shared
async def test_priority_goes_before_fairness(world, desk, ask):
    world.register("w1", max_envs=1, runners=["local"])
    tasks = [await ask("a0", "ann"), await ask("b0", "bob"), await ask("a1", "ann", priority=5)]
    await free(world, desk, "a0")
    assert desk.sent_ids == ["a0", "a1"]
    return tasks


@shared
async def test_what_waits_for_something_else_costs_its_name_no_turn(world, desk, ask):
    world.register("w1", max_envs=1, runners=["local"])
    world.register("w2", max_envs=1, runners=["docker"])
    tasks = [await ask("x", None, runner="local"), await ask("y", None, runner="docker")]
    tasks += [await ask(f"a{number}", "ann", runner="docker") for number in range(3)]
    tasks += [await ask("a9", "ann", runner="local"), await ask("b9", "bob", runner="local")]
    await free(world, desk, "x")
    assert desk.sent_ids == ["x", "y", "a9"]
    return tasks


@shared
async def test_creates_of_one_name_are_served_as_they_came(world, desk, ask):
    world.register("w1", max_envs=1, runners=["local"])
    tasks = [await ask(f"a{number}", "ann") for number in range(3)]
    await free(world, desk, "a0")
    await free(world, desk, "a1")
    assert desk.sent_ids == ["a0", "a1", "a2"]
    return tasks


def test_owners_outlive_a_master_and_the_ended_are_forgotten_in_time(world):
    facts: dict[str, str] = {}

    class Notes:
        def note(self, kind, key, fact):
            assert kind == "owner"
            if fact is None:
                facts.pop(key)
            else:
                facts[key] = fact

    ownership = Ownership(world.routes, Notes(), kept=2)
    world.routes.reserve("alive", "w1", "http://w1:1")
    ownership.put("alive", "ann")
    for number in range(9):
        ownership.put(f"e{number}", "bob")
    assert ownership.owner("alive") == "ann"
    assert len(facts) < 6
    after = Ownership(world.routes)
    after.restore({"owner": facts})
    assert (after.owner("alive"), after.count("ann"), after.count("bob")) == ("ann", 1, 0)
    assert after.running(None) == 0
