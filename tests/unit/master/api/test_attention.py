"""What an operator must look at, the most urgent first, in sentences that do not change by themselves."""

from __future__ import annotations

from gym_queue.master.api.attention import MOST, BrokerState, no_broker, notices
from gym_queue.version import __version__
from tests.unit.master.api.patient import run


def seen(world, *, waiting=(), broker=None, calls=(0, 0)):
    return notices(list(world.fleet.looked_at()), waiting, broker or no_broker(), calls, now=world.clock.now)


def kinds(found):
    return [each["kind"] for each in found]


def test_a_fleet_that_is_well_needs_nothing(world):
    world.register("w1", version=__version__)
    world.beat("w1", metrics={"clock": world.clock.now})
    assert seen(world, calls=(1000, 0)) == []


def test_a_silent_worker_is_named_with_since_when(world):
    world.register("w1", hostname="node7")
    world.beat("w1")
    world.clock.now += 40
    (notice,) = seen(world)
    assert notice == {
        "kind": "worker_unhealthy",
        "text": "Worker w1 on node7: silent since 00:16:40 UTC: see its log, and the network between it and this master.",
        "link": "?view=workers&q=w1",
    }
    world.clock.now += 7
    assert seen(world) == [notice]


def test_a_worker_that_never_spoke_is_told_from_one_that_fell_silent(world):
    world.register("w1")
    world.clock.now += 40
    assert "never sent a heartbeat" in seen(world)[0]["text"]


def test_dead_workers_come_before_sick_ones_and_the_broker_before_both(world):
    for worker_id in ("w1", "w2"):
        world.register(worker_id)
        world.beat(worker_id)
    world.clock.now += 60
    world.beat("w2")
    world.clock.now += 40
    world.fleet.tick()
    down = BrokerState(ok=False, error="Connection refused", kind="redis")
    assert kinds(seen(world, broker=down)) == ["broker_down", "worker_dead", "worker_unhealthy"]


def test_of_many_workers_the_first_are_named_and_the_others_counted(world):
    for number in range(300):
        world.register(f"w{number}", version="0.0.1")
    world.clock.now += 40
    found = seen(world)
    assert kinds(found) == ["worker_unhealthy"] * 6 + ["version"] * 6
    assert found[5]["text"] == "The same of 295 more workers."
    assert len(found) <= MOST


def test_a_clock_that_is_wrong_is_told_with_how_much(world):
    for worker_id, ahead_s in (("fast", 3700), ("slow", -45), ("right", 20), ("mad", 1e300)):
        world.register(worker_id)
        world.beat(worker_id, metrics={"clock": world.clock.now + ahead_s})
    texts = [each["text"] for each in seen(world)]
    assert texts == [
        "Worker fast: its clock is about 62 min ahead of the master's: let NTP set both.",
        "Worker slow: its clock is about 40 s behind the master's: let NTP set both.",
    ]


@run
async def _stuck(world, desk):
    world.register("w1", runners=["docker"], max_envs=0)
    await desk.ask("e1", runner="docker")
    world.clock.now += 59
    world.beat("w1")
    assert seen(world, waiting=desk.creates.waiting.unplaced()) == []
    world.clock.now += 2
    world.beat("w1")
    desk.creates.pump()
    (notice,) = seen(world, waiting=desk.creates.waiting.unplaced())
    assert notice["kind"] == "queue_stuck"
    assert notice["text"].startswith("The create of e1 has waited for more than 1 min for docker (w1: ")
    desk.creates.stop()


def test_a_create_that_waits_for_long_is_told_with_why(world):
    _stuck(world)


def test_a_share_of_failing_calls_is_told_once_it_means_something(world):
    assert seen(world, calls=(5, 5)) == []
    assert seen(world, calls=(1000, 20)) == []
    (notice,) = seen(world, calls=(100, 20))
    assert notice["text"].startswith("20% of the last minute's calls failed")


def test_workers_of_another_version_are_told(world):
    world.register("w1", version="0.0.1")
    world.register("old")
    (notice,) = seen(world)
    assert notice["text"] == f"Worker w1: version 0.0.1, the master {__version__}: install the same."
