"""Real Flower, pointed at the broker, agrees with the master's own statistics."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gym_queue.broker.embedded import EmbeddedBroker
from tests.acceptance.conftest import Place, fleet_at, wait_until

SPEC = {
    "id": "small",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
    "action": [{"type": "keyboard"}],
}
SAME = {
    "active": "active",
    "processed": "processed",
    "succeeded": "task-succeeded",
    "failed": "task-failed",
    "retried": "task-retried",
    "revoked": "task-revoked",
    "rejected": "task-rejected",
}
"""Ours → Flower's."""


@contextlib.contextmanager
def flower(place: Place, broker_url: str) -> Iterator[httpx.Client]:
    """Run Flower; yield a client of its API."""
    options = ["--address=127.0.0.1", "--port=0", "--logging=info"]
    command = [sys.executable, "-m", "celery", "--broker", broker_url, "flower", *options]
    variables = {**place.variables, "PATH": "/usr/bin:/bin", "FLOWER_UNAUTHENTICATED_API": "true"}
    with subprocess.Popen(
        command, cwd=place.folder, env=variables, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stderr is not None
        try:
            said = iter(process.stderr.readline, "")
            url = next(found[1] for line in said if (found := re.search(r"Visit me at (http://\S+)", line)))
            with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
                yield client
        finally:
            process.kill()


def by_node(http: httpx.Client) -> dict[str, dict[str, Any]]:
    """Return Flower's counts of each node."""
    found = http.get("/workers", params={"json": "1"}).json()["data"]
    return {each["hostname"]: each for each in found}


def create(http: httpx.Client, **fields: object) -> str:
    env_id = str(uuid.uuid4())
    http.post("/envs/create", json={"env_id": env_id, **fields})
    return env_id


def counts_of(node: dict[str, Any], names: dict[str, str] | None = None) -> dict[str, int]:
    return {ours: node.get((names or {}).get(ours, ours), 0) for ours in SAME}


def agree(ours: httpx.Client, theirs: httpx.Client, done: int) -> bool:
    mine, flowers = ours.get("/api/tasks").json()["workers"], by_node(theirs)
    both = [(counts_of(mine[name]), counts_of(flowers[name], SAME)) for name in mine if name in flowers]
    return len(both) == 2 and all(a == b for a, b in both) and sum(a["processed"] for a, _ in both) == done


@pytest.mark.slow
@pytest.mark.needs("redis-server")
def test_flower_counts_the_same_tasks_by_node_and_state(place: Place) -> None:
    broker = EmbeddedBroker(place.folder, kind="redis")
    url = broker.start()
    flags = {"worker_arguments": ("--runners", "fake,local"), "master_arguments": ("--broker-url", url)}
    try:
        with fleet_at(place, workers=0, **flags) as fleet, flower(place, url) as theirs:
            for _ in range(2):
                fleet.add_worker().wait_ready()
            wait_until(lambda: set(by_node(theirs)) >= {"gym@worker-1", "gym@worker-2"})
            headers = {"Authorization": f"Bearer {(place.folder / 'token').read_text().strip()}"}
            with httpx.Client(base_url=fleet.url, headers=headers, trust_env=False, timeout=60) as ours:
                wait_until(lambda: len(ours.get("/api/tasks").json()["workers"]) == 2)
                made = [create(ours, env_spec=SPEC) for _ in range(5)]
                failed = [create(ours, env_dir="no_such_env", runner="fake") for _ in range(3)]
                wait_until(lambda: agree(ours, theirs, done=8))
                check_tasks(ours, theirs, made, failed)
                assert set(theirs.get("/api/workers", params={"refresh": "1"}).json()) == {
                    "gym@worker-1",
                    "gym@worker-2",
                }
    finally:
        broker.stop()
    place.wait_empty()


def check_tasks(ours: httpx.Client, theirs: httpx.Client, made: list[str], failed: list[str]) -> None:
    """Compare each task, and see that Flower was told no environment's token."""
    flowers = theirs.get("/api/tasks").json()
    mine = {row["task_id"]: row for row in ours.get("/api/tasks", params={"limit": 500}).json()["rows"]}
    assert set(mine) == set(flowers) == {*made, *failed}
    for task_id, row in mine.items():
        other = flowers[task_id]
        assert row["state"] == other["state"] == ("SUCCESS" if task_id in made else "FAILURE")
        assert f"gym@{row['worker']}" == other["worker"]
        assert (row["started"], row["runtime_s"]) == (other["started"], other["runtime"])
    assert "SpecNotFound" in mine[failed[0]]["exception"]
    assert "Traceback" in ours.get(f"/api/tasks/{failed[0]}").json()["traceback"]
    assert "env_token" not in str(flowers)
