"""The fleet's numbers, under a clock that the test turns."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from gym_queue.errors import NotSupported
from gym_queue.master.metrics import BrokerCollector, Exposition, FleetCollector, ProgramCollector
from gym_queue.stats.latency import BOUNDS_S, CallStats
from gym_queue.version import __version__
from tests.unit.master.conftest import World
from tests.unit.master.desk import Desk, settle

STATUSES = ("healthy", "unhealthy", "dead", "draining")


class Watched:
    """A fleet, its creates and calls, and the numbers of all three."""

    def __init__(self) -> None:
        self.world = World()
        self.desk = Desk(self.world)
        self.calls = CallStats(frozenset({"step"}))
        creates, clock = self.desk.creates, self.world.clock
        collector = FleetCollector(self.world.fleet, self.world.routes, creates, self.calls, clock=clock)
        self._exposition = Exposition(collector, lines=collector.worker_lines)

    def numbers(self) -> dict[tuple[str, ...], float]:
        families = text_string_to_metric_families(self._exposition.text().decode())
        return {
            (sample.name.removeprefix("gym_queue_"), *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }


def test_a_dead_worker_is_counted_and_has_no_series_of_its_own() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.world.register("w1")
        assert ("worker_slots", "w1") in watched.numbers()
        for wait_s, status in ((31, "unhealthy"), (60, "dead")):
            watched.world.clock.now += wait_s
            watched.world.fleet.tick()
            numbers = watched.numbers()
            assert {name: numbers["workers", name] for name in STATUSES} == {
                **dict.fromkeys(STATUSES, 0),
                status: 1,
            }
            assert numbers["slots",] == 0
        assert not [key for key in numbers if "w1" in key]

    asyncio.run(scenario())


def test_creates_are_counted_by_how_they_ended() -> None:
    async def scenario() -> None:
        watched = Watched()
        watched.world.register("w1", max_envs=1, runners=["fake"])
        await watched.desk.ask("a")
        assert watched.numbers()["environments", "creating"] == 1
        waits = await watched.desk.ask("b")
        watched.world.clock.now += 7
        numbers = watched.numbers()
        assert (numbers["queue_length",], numbers["queue_oldest_seconds",]) == (1, 7)
        waits.cancel()
        await settle()
        watched.desk.hand.succeed("a")
        await settle()
        watched.world.routes.remove("a", "closed")
        failing = await watched.desk.ask("c")
        watched.desk.hand.fail("c", NotSupported("not here"))
        await settle()
        assert isinstance(failing.exception(), NotSupported)
        numbers = watched.numbers()
        outcomes = {key[1]: number for key, number in numbers.items() if key[0] == "creates_total"}
        assert outcomes == {"created": 1, "given_up": 1, "not_supported": 1}
        assert numbers["create_duration_seconds_count",] == numbers["queue_wait_seconds_count",] == 1
        assert numbers["environments_closed_total",] == 1

    asyncio.run(scenario())


def test_latencies_are_cumulative_over_bounds_that_double() -> None:
    async def scenario() -> None:
        watched = Watched()
        for seconds in (0.00005, 0.00015, 3.0, 1e9):
            watched.calls.add("w1", "step", seconds, failed=seconds == 3.0)
        numbers = watched.numbers()
        buckets = {float(key[2]): n for key, n in numbers.items() if key[0] == "call_duration_seconds_bucket"}
        assert list(buckets) == [*BOUNDS_S[::2], float("inf")]
        assert [buckets[bound] for bound in (0.0001, 0.0002, 1.6384, 3.2768, float("inf"))] == [1, 2, 2, 3, 4]
        assert (numbers["calls_total", "step", "ok"], numbers["calls_total", "step", "failed"]) == (3, 1)

    asyncio.run(scenario())


def test_a_worker_shows_what_it_told_and_nothing_of_what_it_did_not() -> None:
    async def scenario() -> None:
        watched = Watched()
        for name in ("w1", "w2"):
            watched.world.register(name, max_envs=4)
        watched.world.clock.now += 5
        watched.world.beat("w1", "a", cpu_percent=37.5, memory_percent=80.0)
        watched.world.fleet.set_draining("w1", draining=True)
        watched.world.clock.now += 2
        numbers = watched.numbers()
        shown = {key[0]: number for key, number in numbers.items() if key[1:] == ("w1",)}
        assert shown == {
            "worker_up": 1,
            "worker_draining": 1,
            "worker_slots": 4,
            "worker_slots_used": 1,
            "worker_cpu_ratio": 0.375,
            "worker_memory_ratio": 0.8,
            "worker_heartbeat_age_seconds": 2,
        }
        assert ("worker_cpu_ratio", "w2") not in numbers
        watched.world.clock.now += 29
        assert watched.numbers()["worker_up", "w1"] == 0

    asyncio.run(scenario())


def test_the_master_tells_its_version_its_process_and_its_broker() -> None:
    is_up = [True]
    broker = BrokerCollector(lambda: is_up[0], lambda: {"SUCCESS": 3, "FAILURE": 0})
    exposition = Exposition(ProgramCollector(), broker)
    text = exposition.text().decode()
    assert f'version="{__version__}"' in text
    assert "process_cpu_seconds_total " in text
    assert "gym_queue_broker_up 1.0\n" in text
    assert 'gym_queue_celery_tasks_total{state="success"} 3.0\n' in text
    is_up[0] = False
    assert "gym_queue_broker_up 0.0\n" in exposition.text().decode()
