"""``gym-anything stress`` against a fleet of real processes."""

from __future__ import annotations

import json

import pytest

from gym_queue.settings import find_or_make_token
from tests.acceptance.conftest import fleet_at


@pytest.mark.slow
def test_latency_is_measured_through_a_fleet_of_its_own_that_leaves_nothing(place):
    saved = place.folder / "figures.json"
    ran = place.run(
        *("gym-anything", "stress", "latency", "--rounds", "2", "--steps", "5", "--output", str(saved))
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = json.loads(saved.read_text())
    assert [(line["path"], line["rounds"][0]["count"]) for line in found["lines"]] == [
        ("master", 5),
        ("worker", 5),
    ]
    assert [used["name"] for used in found["usage"]] == ["master", "worker 1"]
    assert len(found["ratios"][0]["rounds"]) == 2
    place.wait_empty()


@pytest.mark.slow
def test_a_running_fleet_is_driven_in_every_other_mode_and_left_empty(place):
    find_or_make_token()
    commands = {
        "rate": ("--envs", "4", "--seconds", "0.2", "--concurrency", "1,4"),
        "creates": ("--creates", "3", "--concurrency", "1,2"),
        "burst": ("--creates", "9"),
        "sessions": ("--sessions", "6", "--step-delay", "0.05"),
    }
    with fleet_at(place, workers=1, max_envs=4, worker_arguments=("--runners", "fake")) as fleet:
        for mode, flags in commands.items():
            ran = place.run(
                *("gym-anything", "stress", mode, "--rounds", "1", "--remote-url", fleet.url, *flags)
            )
            assert ran.returncode == 0, ran.stdout + ran.stderr
        few = place.run("gym-anything", "stress", "burst", "--creates", "2", "--remote-url", fleet.url)
        assert (few.returncode, few.stderr.strip()[:6]) == (1, "error:")
        assert "more creates than the fleet has slots" in few.stderr
        status = json.loads(place.run("gym-anything", "status", "--json", "--remote-url", fleet.url).stdout)
    assert status["cluster"]["total_envs"] == 0
    assert status["queue"]["total"] == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("nonsense", "nonsense"),
        ("creates --compare nginx", "latency or rate"),
        ("rate --concurrency 1,x", "--concurrency"),
        ("rate --concurrency 0", "--concurrency"),
        ("rate --concurrency 9 --envs 8", "raise --envs"),
        ("latency --pin 0 --remote-url http://127.0.0.1:9", "--remote-url"),
        ("latency --compare nginx --remote-url http://127.0.0.1:9", "--remote-url"),
    ],
)
def test_flags_that_make_no_sense_are_refused_with_the_remedy(place, flags, said):
    ran = place.run("gym-anything", "stress", *flags.split(" "))
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert said in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_master_that_is_not_there_is_one_sentence(place):
    ran = place.run("gym-anything", "stress", "latency", "--remote-url", "http://127.0.0.1:9")
    assert ran.returncode == 1
    assert "cannot connect to http://127.0.0.1:9" in ran.stderr
