"""The fleet in columns."""

from __future__ import annotations

import json

from gym_queue.master.api.fleetmap import KEPT_S, FleetMap


def test_workers_stand_in_columns_by_their_ids_with_what_they_use(world):
    for worker_id in ("w2", "w1"):
        world.register(worker_id, runners=["local"], max_envs=3)
    world.routes.reserve("e1", "w2", "u")
    found = json.loads(FleetMap(world.fleet, world.routes, clock=world.clock).text())
    assert found["total"] == 2
    assert found["workers"] == {
        "worker_id": ["w1", "w2"],
        "status": ["healthy", "healthy"],
        "used": [0, 1],
        "slots": [3, 3],
        "why": ["", ""],
    }


def test_it_is_made_once_for_all_who_ask_within_two_seconds(world):
    fleet = FleetMap(world.fleet, world.routes, clock=world.clock)
    before = fleet.text()
    world.register("w1", runners=["local"])
    assert fleet.text() == before
    world.clock.now += KEPT_S
    assert json.loads(fleet.text())["total"] == 1
