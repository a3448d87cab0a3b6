"""Draining by command: no create slips in, nothing that runs is ended, and it can be taken back."""

from __future__ import annotations

import os

from gym_queue.client import RemoteGymEnv
from gym_queue.stress.plan import null_spec
from tests.acceptance.conftest import fleet_at

FAKE = ("--runners", "fake")


def opened(fleet, **options):
    return RemoteGymEnv(fleet.url, env_spec=null_spec(), runner="fake", **options)


def test_a_drained_worker_gets_nothing_new_and_keeps_what_it_has(place):
    with fleet_at(place, workers=2, max_envs=4, worker_arguments=FAKE) as fleet:
        remote = ("--remote-url", fleet.url)
        kept = [opened(fleet) for _ in range(4)]
        for env in kept:
            env.reset()
        drained = place.run("gym-anything", "drain", "worker-1", *remote)
        assert drained.returncode == 0, drained.stderr
        assert "worker-1 takes no more environments" in drained.stdout
        new = [opened(fleet) for _ in range(2)]
        assert {env.worker_id for env in new} == {"worker-2"}
        assert all(env.step([])[3]["step"] == 0 for env in kept)
        waited = place.run("gym-anything", "drain", "worker-1", "--wait", "0", *remote)
        assert waited.returncode == 1
        assert "worker-1 (" in waited.stderr
        for env in kept:
            env.close()
        waited = place.run("gym-anything", "drain", "worker-1", "--wait", "20", *remote)
        assert waited.returncode == 0, waited.stderr
        assert place.run("gym-anything", "undrain", "--all", *remote).returncode == 0
        again = [opened(fleet) for _ in range(4)]
        assert "worker-1" in {env.worker_id for env in again}
        for env in new + again:
            env.close()
    place.wait_empty()


def test_an_unknown_worker_is_named(place):
    with fleet_at(place, workers=0) as fleet:
        ran = place.run("gym-anything", "drain", f"nope-{os.getpid()}", "--remote-url", fleet.url)
        assert ran.returncode == 1
        assert f"nope-{os.getpid()}" in ran.stderr
    place.wait_empty()
