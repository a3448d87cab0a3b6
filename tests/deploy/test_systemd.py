"""The systemd units: valid, closed as far as documented, and run by a real systemd as docs/deploy/systemd.md says."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import wait_until
from tests.deploy.conftest import DOCS, blocks_of
from tests.deploy.containers import IMAGES, SYSTEMD, build, build_fleet_image, run

FOLDER = DOCS / "systemd"
UNITS = sorted(FOLDER.glob("*.service"))
EXPOSURE = {"gym-queue-dashboard": 1.5, "gym-queue-master": 1.5, "gym-queue-worker@": 2.6}


def analyzed(*arguments: str) -> str:
    ran = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    return ran.stdout + ran.stderr


@pytest.mark.needs("systemd-analyze")
def test_the_units_have_no_mistake() -> None:
    said = analyzed("verify", "--man=no", *map(str, UNITS)).splitlines()
    assert [
        line for line in said if "is not executable" not in line
    ] == []  # nothing is in /opt/gym-queue here


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_are_closed_as_documented(unit: Path) -> None:
    said = analyzed("security", "--offline=true", "--man=no", "--no-pager", str(unit))
    level = re.search(r"exposure level for .*: ([\d.]+)", said)
    assert level is not None, said
    assert float(level[1]) <= EXPOSURE[unit.stem]


class Machine:
    """A container in which systemd is the first process."""

    def __init__(self) -> None:
        self.name = f"gym-queue-test-{secrets.token_hex(4)}"

    def start(self) -> None:
        options = ["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--env=container=docker"]
        cgroups = ["--volume=/sys/fs/cgroup:/sys/fs/cgroup:ro", "--cgroupns=private"]
        folders = ["--tmpfs=/run", "--tmpfs=/run/lock", "--tmpfs=/tmp", f"--volume={FOLDER}:/units:ro"]
        run(["docker", "run", "--detach", f"--name={self.name}", *options, *cgroups, *folders, SYSTEMD])
        wait_until(lambda: "running" in self.try_shell("systemctl is-system-running"), 60)

    def shell(self, script: str) -> str:
        return run(["docker", "exec", "--workdir=/units", self.name, "bash", "-euc", script])

    def try_shell(self, script: str) -> str:
        command = ["docker", "exec", self.name, "bash", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def state(self, unit: str) -> dict[str, str]:
        shown = self.shell(f"systemctl show --property ActiveState,Result,ExecMainStatus,MainPID {unit}")
        return dict(line.split("=", 1) for line in shown.splitlines())

    def workers(self) -> dict[str, str]:
        """Return the status of each worker by its id, as ``gym-anything status`` in the machine tells it."""
        said = self.try_shell(
            "set -a; . /etc/gym-queue/dashboard.env; /opt/gym-queue/bin/gym-anything status --json"
        )
        entries = json.loads(said)["cluster"]["workers"] if said else []
        return {entry["worker_id"]: entry["status"] for entry in entries}

    def remove(self) -> None:
        subprocess.run(["docker", "rm", "--force", "--volumes", self.name], capture_output=True, check=False)


@pytest.fixture
def machine() -> Iterator[Machine]:
    build_fleet_image()
    build(SYSTEMD, IMAGES / "systemd.Dockerfile", IMAGES)
    made = Machine()
    try:
        made.start()
        yield made
        print(made.try_shell("journalctl --no-pager --lines 100"))  # noqa: T201  pytest shows it with a failure
    finally:
        made.remove()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.needs("docker")
def test_systemd_runs_a_fleet_restarts_what_fails_and_drains_what_it_stops(machine: Machine) -> None:
    accounts, start, stop = blocks_of(DOCS / "systemd.md", "test_systemd.py")
    machine.shell(accounts)
    machine.shell(start)
    wait_until(lambda: list(machine.workers().values()) == ["healthy"], 60)
    machine.shell(
        "set -a; . /etc/gym-queue/dashboard.env; /opt/gym-queue/bin/gym-anything benchmark terminal_env --max-tasks 1"
        " --output /tmp/run --remote-url http://127.0.0.1:5800"
    )
    first = machine.state("gym-queue-master")["MainPID"]
    machine.shell("systemctl kill --signal KILL gym-queue-master")
    wait_until(lambda: machine.state("gym-queue-master")["MainPID"] not in (first, "0"))
    wait_until(lambda: list(machine.workers().values()) == ["healthy"], 60)
    machine.shell(stop)
    assert machine.state("gym-queue-worker@a") == {
        "ActiveState": "inactive",
        "Result": "success",
        "ExecMainStatus": "0",
        "MainPID": "0",
    }
    assert machine.workers() == {}
