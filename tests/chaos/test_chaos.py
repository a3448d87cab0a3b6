"""``gym-anything chaos``: the quick form of every scenario, on real processes."""

from __future__ import annotations

import json

import pytest

from gym_queue.chaos.run import SCENARIOS
from tests.acceptance.conftest import Place

pytestmark = [pytest.mark.chaos, pytest.mark.needs("redis-server")]


def run_chaos(place: Place, *arguments: str) -> tuple[int, str]:
    ran = place.run("gym-anything", "chaos", *arguments, timeout_s=110)
    return ran.returncode, ran.stdout + ran.stderr


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_target_of_a_scenario_is_met_and_nothing_is_left(place, scenario):
    found = place.folder / "found.json"
    flags = ("--quick", "--seconds", "10", "--seed", "4", "--json", str(found))
    status, said = run_chaos(place, scenario, *flags)
    assert status == 0, said
    (outcome,) = json.loads(found.read_text())["outcomes"]
    assert outcome["scenario"] == scenario
    assert all(check["ok"] for check in outcome["checks"])
    place.wait_empty()


def test_a_scenario_that_is_not_there_is_refused_with_those_that_are(place):
    status, said = run_chaos(place, "earthquake")
    assert status == 2
    assert "restarts, worker, burst" in said
