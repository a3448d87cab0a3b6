"""What a master takes over from the one before it."""

import asyncio
from collections import defaultdict

import pytest

from gym_queue.errors import EnvLost
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.routes import Routes
from gym_queue.master.unclaimed import Unclaimed
from tests.unit.master.conftest import World
from tests.unit.master.desk import Desk, settle


class Notebook:
    """Notes that the next master reads."""

    def __init__(self):
        self.facts: dict[str, dict[str, str]] = defaultdict(dict)

    def note(self, kind, key, fact):
        if fact is None:
            self.facts[kind].pop(key, None)
        else:
            self.facts[kind][key] = fact


class Generation(World):
    """A master's memory, from the same notes and under the same clock as the one before."""

    def __init__(self, notebook, clock=None):
        self.notebook = notebook
        super().__init__(**({} if clock is None else {"clock": clock}))

    def __post_init__(self):
        self.routes = Routes(clock=self.clock, wall=self.clock, notes=self.notebook)
        times = FleetTimes(heartbeat_s=5, unhealthy_s=30, dead_s=90)
        self.fleet = Fleet(self.routes, times, clock=self.clock, wall=self.clock, notes=self.notebook)
        self.fleet.on_lost = lambda worker_id, _queues: self.lost.append(worker_id)
        self.fleet.on_stray = lambda env_id, worker_id, _url: self.strays.append((env_id, worker_id))

    def next(self):
        return Generation(self.notebook, self.clock)

    def desk(self, **options):
        desk = Desk(self, notes=self.notebook, wall=self.clock, **options)
        self.fleet.restore(self.notebook.facts)
        self.routes.restore(self.notebook.facts)
        desk.creates.restore(self.notebook.facts)
        return desk


def lives(test):
    """Run a test over generations of masters."""

    def run():
        asyncio.run(test(Generation(Notebook())))

    run.__name__ = test.__name__
    return run


@lives
async def test_workers_are_healthy_until_they_are_silent(old):
    old.register("w1", runners=["local"])
    old.register("w2", runners=["local"])
    old.register("w3", runners=["local"])
    old.fleet.set_draining("w2", draining=True)
    old.fleet.deregister("w3", "left")
    new = old.next()
    new.desk()
    assert {w: new.fleet.status(w) for w in ("w1", "w2")} == {"w1": "healthy", "w2": "draining"}
    assert len(new.fleet.entries()) == 2
    assert new.fleet.is_recovering
    new.beat("w1")
    new.beat("w2")
    assert not new.fleet.is_recovering


@lives
async def test_routes_are_ready_at_once_and_answer_a_retry_with_the_first_reply(old):
    desk = old.desk()
    old.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.hand.succeed("e1")
    first = await asked
    old.clock.now += 7
    new = old.next()
    again = new.desk()
    assert new.routes.forwardable("e1").since == old.clock.now - 7
    assert await (await again.ask("e1")) == first
    assert again.sent_ids == []


@lives
async def test_what_was_lost_stays_lost_and_what_was_closed_stays_closed(old):
    old.register("w1", runners=["local"])
    old.beat("w1", "e1", "e2")
    old.routes.remove("e1", "its worker died")
    old.routes.remove("e2", "closed")
    with pytest.raises(EnvLost):
        old.routes.forwardable("e1")
    new = old.next()
    new.desk()
    new.beat("w1", "e1", "e2")
    assert sorted(new.strays) == [("e1", "w1"), ("e2", "w1")]
    assert new.routes.ending("e1").why == "its worker died"


@lives
async def test_waiting_creates_keep_their_order_and_are_served_before_their_clients_return(old):
    desk = old.desk()
    old.register("w1", max_envs=1, runners=["local"])
    for env_id, priority in (("e0", 0), ("e1", 0), ("e2", 0), ("e3", 5)):
        await desk.ask(env_id, priority=priority)
    desk.hand.succeed("e0")
    await settle()
    new = old.next()
    again = new.desk()
    await again.ask("e4")
    assert [w.env_id for w in again.creates.queue()] == ["e3", "e1", "e2", "e4"]
    new.routes.remove("e0", "closed")
    again.creates.pump()
    await settle()
    assert again.sent_ids == ["e3"]
    again.hand.succeed("e3")
    await settle()
    assert (await (await again.ask("e3", priority=5))).worker_id == "w1"


@lives
async def test_a_waiting_create_whose_client_does_not_return_is_dropped(old):
    desk = old.desk()
    old.register("w1", max_envs=1, runners=["local"])
    await desk.ask("e0")
    desk.hand.succeed("e0")
    await desk.ask("e1")
    new = old.next()
    again = new.desk()
    new.clock.now += 61
    again.creates.tick()
    assert again.creates.queue() == []
    assert new.notebook.facts["create"] == {}


@lives
async def test_a_create_on_its_way_is_sent_again_to_the_same_worker_and_keeps_its_slot(old):
    desk = old.desk()
    old.register("w1", max_envs=1, runners=["local"])
    old.register("w2", max_envs=1, runners=["local"])
    await desk.ask("e1")
    new = old.next()
    again = new.desk()
    await settle()
    assert (again.sent_ids, again.sent_to) == (["e1"], desk.sent_to)
    assert new.routes.count(desk.sent_to[0]) == 1


@pytest.mark.parametrize(("is_unused", "undone"), [(True, ["e1"]), (False, [])])
def test_an_environment_that_no_client_claims_is_closed_unless_it_is_used(is_unused, undone):
    @lives
    async def test(old):
        async def answer(_reply, _unused_s):
            return is_unused

        desk = old.desk()
        old.register("w1", runners=["local"])
        await desk.ask("e1")
        new = old.next()
        again = new.desk(unclaimed=Unclaimed(answer))
        await settle()
        again.hand.succeed("e1")
        await settle()
        again.creates.tick()
        assert again.undone == []
        new.clock.now += 61
        new.beat("w1", "e1")
        again.creates.tick()
        await settle()
        assert again.undone == undone

    test()


@lives
async def test_a_cancelled_create_is_not_sent_again_and_is_closed_if_it_was_carried_out(old):
    desk = old.desk()
    old.register("w1", runners=["local"])
    asked = await desk.ask("e1")
    desk.creates.cancel("e1")
    new = old.next()
    again = new.desk()
    await settle()
    assert again.sent_ids == []
    new.beat("w1", "e1")
    assert new.strays == [("e1", "w1")]
    asked.cancel()


@lives
async def test_an_orderly_end_leaves_the_creates_to_the_next_master(old):
    desk = old.desk()
    old.register("w1", max_envs=1, runners=["local"])
    for env_id in ("e1", "e2"):
        await desk.ask(env_id)
    desk.creates.stop()
    await settle()
    again = old.next().desk()
    await settle()
    assert again.sent_ids == ["e1"]
    assert [w.env_id for w in again.creates.queue()] == ["e2"]


@lives
async def test_a_waiting_create_that_a_worker_reports_is_answered_with_what_it_has(old):
    desk = old.desk()
    old.register("w1", max_envs=1, runners=["local"])
    old.beat("w1", "e0")
    asked = await desk.ask("e1")
    old.beat("w1", "e0", "e1")
    desk.creates.pump()
    assert (await asked).worker_id == "w1"


def test_facts_of_another_version_are_left_out():
    world = World()
    facts = {"worker": {"w1": "{}"}, "route": {"e1": "?"}, "ended": {"e2": "1"}, "create": {}}
    assert (world.fleet.restore(facts), world.routes.restore(facts)) == (0, 0)
    assert world.routes.ended("e2") is None
