"""Rows of lists, made from the owners' facts."""

from __future__ import annotations

from gym_queue.master.api.envrows import EnvRows, queue_rows, show_queued
from gym_queue.master.api.workerrows import SORTS, show_worker, worker_rows
from gym_queue.stats.nodes import NodeStats
from tests.unit.master.api.patient import run
from tests.unit.master.desk import settle


def env_rows(world, desk, ending=frozenset()):
    return EnvRows(
        world.routes,
        desk.creates,
        lambda: ending,
        lambda env_id: "ann" if env_id == "e1" else None,
        clock=world.clock,
        wall=lambda: world.clock() + 1_000_000,
    )


def test_a_worker_is_shown_and_can_be_sorted_by_each_of_its_numbers(world):
    world.register("w1", runners=["local"], max_envs=3, hostname="node7")
    world.beat("w1", cpu_percent=12.5)
    world.routes.reserve("e1", "w1", "u")
    world.clock.now += 2
    (row,) = worker_rows(world.fleet, world.routes, NodeStats(), world.clock.now)
    assert [getattr(row, name) for name in SORTS]
    shown = show_worker(row)
    assert (shown["used"], shown["starting"], shown["slots"]) == (1, 1, 3)
    assert (shown["heartbeat_age_s"], shown["cpu_percent"], shown["status"]) == (2, 12.5, "healthy")
    assert (shown["runners"], shown["celery"]["online"], shown["why"]) == (["local"], False, None)


@run
async def _lives(world, desk):
    rows = env_rows(world, desk)
    asked = await desk.ask("e1", env_dir="/srv/envs/desktop_env/", task_id="t1", metadata={"run": "nightly"})
    assert [(row.env_id, row.state, row.env) for row in rows.all()] == [("e1", "queued", "desktop_env")]
    world.register("w1", runners=["local"])
    await settle()
    (row,) = rows.all()
    assert (row.state, row.worker_id, row.task_id, row.runner) == ("creating", "w1", "t1", "local")
    desk.hand.succeed("e1")
    await asked
    world.clock.now += 3
    (row,) = rows.all()
    assert rows.show(row) == {
        "env_id": "e1",
        "state": "ready",
        "worker_id": "w1",
        "since": 1_001_000,
        "age_s": 3,
        "env": "desktop_env",
        "task_id": "t1",
        "runner": "local",
        "owner": "ann",
        "metadata": {"run": "nightly"},
    }
    assert "nightly" in row.text
    (closing,) = env_rows(world, desk, frozenset({"e1"})).all()
    assert closing.state == "closing"
    world.routes.remove("e1", "closed")
    assert rows.all() == []


def test_an_environment_is_one_row_all_its_life(world):
    _lives(world)


@run
async def _kept(world, desk):
    rows = env_rows(world, desk)
    world.routes.adopt("e1", "w1", "u")
    world.routes.adopt("e2", "w1", "u")
    first = rows.all()
    world.routes.adopt("e3", "w1", "u")
    assert [row.env_id for row in rows.all()] == ["e1", "e2", "e3"]
    assert all(new is old for new, old in zip(rows.all(), first, strict=False))


def test_rows_that_did_not_change_are_not_made_again(world):
    _kept(world)


@run
async def _queue(world, desk):
    world.register("w1", runners=["docker"], max_envs=0)
    for number in range(30):
        world.register(f"v{number}", runners=["docker"], max_envs=0)
    await desk.ask("e1", runner="docker", metadata={"long": "x" * 5000})
    await desk.ask("e2", runner="docker", priority=9)
    world.clock.now += 5
    rows = queue_rows(desk.creates, lambda _env_id: None, world.clock)
    assert [(row.env_id, row.position, row.waiting_s) for row in rows] == [("e2", 0, 5), ("e1", 1, 5)]
    shown = show_queued(rows[1])
    assert (len(shown["why_not"]), shown["why_not_total"]) == (20, 31)
    assert shown["waiting_for"] == "a free slot for docker"
    assert shown["metadata"] == {}
    desk.creates.stop()


def test_a_create_that_waits_shows_the_first_of_many_reasons_and_no_long_metadata(world):
    _queue(world)


@run
async def _versions(world, desk):
    waiting, routes, fleet = desk.creates.waiting, world.routes, world.fleet
    seen = [(waiting.version, routes.version, fleet.version)]

    def grown() -> list[bool]:
        seen.append((waiting.version, routes.version, fleet.version))
        return [new > old for new, old in zip(seen[-1], seen[-2], strict=True)]

    asked = await desk.ask("e1")
    assert grown() == [True, False, False]
    world.register("w1", runners=["local"])
    await settle()
    assert grown() == [True, True, True]
    desk.hand.succeed("e1")
    await asked
    assert grown() == [True, True, False]
    world.beat("w1", "e1")
    assert grown() == [False, False, False]
    fleet.set_draining("w1", draining=True)
    assert grown() == [False, False, True]
    fleet.deregister("w1", "left")
    assert grown() == [False, True, True]
    assert routes.lost_count == 1


def test_versions_grow_with_what_changes_and_not_with_heartbeats(world):
    _versions(world)


@run
async def _times(world, desk):
    asked = await desk.ask("e1")
    world.clock.now += 4
    world.register("w1", runners=["local"])
    await settle()
    world.clock.now += 2
    desk.hand.succeed("e1")
    await asked
    took, queued = desk.creates.waiting.took, desk.creates.waiting.queued
    assert (took.count, took.sum_s, queued.sum_s) == (1, 6, 4)


def test_how_long_a_create_took_is_told_apart_from_how_long_it_waited(world):
    _times(world)
