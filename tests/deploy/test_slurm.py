"""The documented Slurm job, on a real Slurm: its worker joins, drains when told, leaves nothing; a poor node fails at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.testing import Fleet
from tests.acceptance.conftest import Place, fleet_at, wait_until
from tests.deploy.conftest import DOCS, ROOT, blocks_of, path_with_programs, workers_of
from tests.deploy.slurm import Slurm

pytestmark = [pytest.mark.slow, pytest.mark.needs("slurmctld", "slurmd", "munged", "sbatch")]


@pytest.fixture
def slurm(place: Place) -> Iterator[Slurm]:
    made = Slurm(place)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        print(made.logs())  # noqa: T201  pytest shows it with a failure


@pytest.fixture
def fleet(place: Place) -> Iterator[Fleet]:
    with fleet_at(place, workers=0) as started:
        yield started


def test_the_documented_job_joins_the_fleet_and_drains_when_its_time_is_nearly_up(
    slurm: Slurm, fleet: Fleet, place: Place
) -> None:
    variables = {"GYM_QUEUE_MASTER_URL": fleet.url, "PATH": path_with_programs(), "PYTHONPATH": str(ROOT)}
    poor = slurm.submit("sbatch --parsable workers.sbatch", GYM_QUEUE_RUNNERS="avf", **variables)
    (documented,) = blocks_of(DOCS / "slurm.md", "test_slurm.py")
    slurm.submit(documented, **variables)
    wait_until(lambda: sorted(workers_of(fleet.url).values()) == ["healthy", "healthy"], 60)

    with RemoteGymEnv.from_config(fleet.url, "terminal_env", task_id="largest_file") as env:
        env.reset()
        jobs = [worker_id.removeprefix("slurm-") for worker_id in workers_of(fleet.url)]
        slurm.ask("scancel", "--batch", "--signal=TERM", *jobs)  # as Slurm itself does by --signal=B:TERM@120
        wait_until(lambda: workers_of(fleet.url) == {env.worker_id: "draining"})  # the idle one has gone
        assert env.step([], mark_done=True)[2]
    wait_until(lambda: [slurm.state(job) for job in jobs] == ["COMPLETED", "COMPLETED"])
    assert workers_of(fleet.url) == {}
    wait_until(lambda: slurm.state(poor) == "FAILED", 30)
    assert "avf" in (slurm.folder / f"gym-queue-worker-{poor}.log").read_text()
    fleet.stop()
    slurm.stop()
    place.wait_empty()


def test_a_job_that_was_told_no_master_says_so_at_once(place: Place) -> None:
    script = DOCS / "slurm" / "workers.sbatch"
    known = {name: value for name, value in os.environ.items() if name != "GYM_QUEUE_MASTER_URL"}
    ran = subprocess.run(
        ["bash", str(script)], env={**known, **place.variables}, capture_output=True, text=True, check=False
    )
    assert ran.returncode != 0
    assert "GYM_QUEUE_MASTER_URL: set it to the master" in ran.stderr
