import asyncio
from dataclasses import dataclass, field

import pytest

from gym_queue.errors import Cancelled, NoCapacity, RequestInvalid, RunnerFailed, SpecInvalid
from gym_queue.master.creates import Creates
from gym_queue.master.placement import Placement
from gym_queue.protocol.sessions import CreateReply, CreateRequest


@dataclass
class HandDispatcher:
    """A dispatcher whose outcomes the test decides: one future a create."""

    sent: list[tuple[str, Placement]] = field(default_factory=list)
    outcomes: dict[str, asyncio.Future[CreateReply]] = field(default_factory=dict)

    async def open(self, placement: Placement, request: CreateRequest) -> CreateReply:
        env_id = str(request.env_id)
        self.sent.append((env_id, placement))
        self.outcomes[env_id] = asyncio.get_running_loop().create_future()
        return await self.outcomes[env_id]

    def worker_lost(self, worker_id: str) -> None:
        """Nothing is on the way that a test did not decide."""

    def succeed(self, env_id: str) -> None:
        worker_id = dict(self.sent)[env_id].worker_id
        self.outcomes[env_id].set_result(
            CreateReply(env_id=env_id, worker_id=worker_id, worker_url=f"http://{worker_id}:5900")
        )

    def fail(self, env_id: str, error: Exception) -> None:
        self.outcomes[env_id].set_exception(error)


class Desk:
    """Creates under test, with what they undid."""

    def __init__(self, world, queue_timeout_s=60.0):
        self.world, self.hand, self.undone = world, HandDispatcher(), []
        self.creates = Creates(
            world.fleet,
            world.routes,
            celery=self.hand,
            http=self.hand,
            undo=self._undo,
            queue_timeout_s=queue_timeout_s,
            clock=world.clock,
        )
        world.fleet.on_change = self.creates.pump

    async def _undo(self, reply):
        self.undone.append(reply.env_id)

    async def ask(self, env_id, **fields):
        fields.setdefault("env_dir", "terminal_env")
        task = asyncio.ensure_future(self.creates.create(CreateRequest(env_id=env_id, **fields)))
        await settle()
        return task

    @property
    def sent_ids(self):
        return [env_id for env_id, _ in self.hand.sent]


async def settle():
    for _ in range(10):
        await asyncio.sleep(0)


def run(test):
    """Run an async test on a fresh loop."""
    return lambda world: asyncio.run(test(world, Desk(world)))


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
    with pytest.raises(NoCapacity, match="no worker of this fleet can ever take it"):
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
        with pytest.raises(NoCapacity, match="shutting down"):
            await task
