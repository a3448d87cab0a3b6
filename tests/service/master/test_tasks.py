"""The calls about Celery's tasks and the broker, of a real master with a real worker."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.master.brokercalls import Broker
from gym_queue.master.taskcalls import Task, Tasks
from gym_queue.testing import Fleet, FleetSetup
from tests.waiting import wait_until

TOKEN = "the-cluster-token-of-this-test"
API_KEY = "sk-0123456789abcdef0123"
SPEC = {
    "id": "small",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
    "action": [{"type": "keyboard"}],
    "vnc": {"password": API_KEY},
}
pytestmark = pytest.mark.needs("redis-server")


class Cluster:
    """A fleet of one worker, and calls to its master."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        headers = {"Authorization": f"Bearer {TOKEN}"}
        self.http = httpx.Client(base_url=fleet.url, headers=headers, trust_env=False, timeout=60)

    def get(self, path: str, **query: Any) -> Any:
        """Return what a call answers."""
        return self.http.get(path, params=query).raise_for_status().json()

    def create(self, **fields: Any) -> tuple[str, httpx.Response]:
        """Ask for an environment; return its id, and the answer."""
        env_id = fields.setdefault("env_id", str(uuid.uuid4()))
        return env_id, self.http.post("/envs/create", json={**fields, "verifier_env": {"KEY": API_KEY}})

    def made(self) -> str:
        """Return an environment that was created, and closed again."""
        env_id, reply = self.create(env_spec=SPEC)
        assert reply.status_code == 201, reply.text
        assert self.http.post(f"/envs/{env_id}/close").status_code == 200
        self.wait_for(env_id, "SUCCESS")
        return env_id

    def failed(self) -> str:
        """Return a create that failed."""
        env_id, reply = self.create(env_dir="no_such_env", runner="fake")
        assert reply.status_code == 404, reply.text
        self.wait_for(env_id, "FAILURE")
        return env_id

    def wait_for(self, task_id: str, state: str) -> None:
        """Wait for Celery's word about a task."""
        path = f"/api/tasks/{task_id}"
        wait_until(lambda: self.http.get(path).json().get("state") == state, 30)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    variables = {"GYM_ANYTHING_TOKEN": TOKEN}
    setup = FleetSetup(
        workers=1,
        max_envs=1,
        variables=variables,
        worker_arguments=("--runners", "fake"),
        state_dir=tmp_path_factory.mktemp("s"),
    )
    with Fleet(setup) as fleet:
        cluster = Cluster(fleet)
        yield cluster
        cluster.http.close()


def rows(cluster: Cluster, **query: Any) -> list[str]:
    return [row["task_id"] for row in cluster.get("/api/tasks", **query)["rows"]]


def test_tasks_are_listed_filtered_sorted_and_cut(cluster: Cluster) -> None:
    made, failed = cluster.made(), cluster.failed()
    seen = cluster.get("/api/tasks")
    Tasks.model_validate(seen)
    assert seen["rows"][0]["task_id"] == failed
    assert rows(cluster, q=made[:13].upper()) == [made]
    assert failed in rows(cluster, state="FAILURE")
    assert made not in rows(cluster, state="FAILURE")
    assert rows(cluster, worker="nobody") == []
    assert set(rows(cluster, worker="worker-1", runner="fake")) >= {made, failed}
    assert rows(cluster, sort="finished")[-1] == rows(cluster, sort="-finished", limit=1)[0]
    assert len(rows(cluster, limit=1, offset=1)) == 1


def test_a_failing_create_is_shown_with_its_traceback_and_without_secrets(cluster: Cluster) -> None:
    made, failed = cluster.made(), cluster.failed()
    shown = cluster.get(f"/api/tasks/{failed}")
    Task.model_validate(shown)
    assert (shown["state"], shown["worker"], shown["runner"]) == ("FAILURE", "worker-1", "fake")
    assert "SpecNotFound" in shown["exception"]
    assert "Traceback (most recent call last)" in shown["traceback"]
    assert json.loads(shown["kwargs"])["env_dir"] == "no_such_env"
    told = json.dumps([shown, cluster.get(f"/api/tasks/{made}"), cluster.get("/api/tasks")])
    assert API_KEY not in told
    assert "env_token" not in told


@pytest.mark.parametrize(
    "query",
    ["sort=x", "limit=0", "limit=501", "offset=-1", "offset=1e3", "state=DONE", "q=a&q=b", "limit=%00"],
)
def test_a_wrong_query_is_refused(cluster: Cluster, query: str) -> None:
    reply = cluster.http.get(f"/api/tasks?{query}")
    assert (reply.status_code, reply.json()["code"]) == (422, "request_invalid")


@pytest.mark.parametrize("task_id", ["no-such", "x" * 500, "%00", "%F0%9F%98%80"])
def test_an_unknown_task_is_not_found(cluster: Cluster, task_id: str) -> None:
    for reply in (
        cluster.http.get(f"/api/tasks/{task_id}"),
        cluster.http.post(f"/api/tasks/{task_id}/revoke"),
    ):
        assert reply.status_code == 404
        assert reply.json()["code"] in ("task_not_found", "not_found")


def test_a_create_that_waits_can_be_revoked_and_asked_for_again(cluster: Cluster) -> None:
    first, _ = cluster.create(env_spec=SPEC)
    second = str(uuid.uuid4())
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(cluster.create, env_id=second, env_spec=SPEC)
        wait_until(lambda: cluster.get("/queue")["total"] == 1)
        reply = cluster.http.post(f"/api/tasks/{second}/revoke")
        assert reply.json() == {"status": "revoked", "env_id": second}
        assert answer.result(30)[1].json()["code"] == "cancelled"
    assert cluster.http.post(f"/api/tasks/{first}/revoke").json() == {
        "status": "not_running",
        "env_id": first,
    }
    cluster.http.post(f"/envs/{first}/close")
    assert cluster.create(env_id=second, env_spec=SPEC)[1].status_code == 201
    cluster.http.post(f"/envs/{second}/close")


def test_statistics_outlive_the_master(cluster: Cluster) -> None:
    made, failed = cluster.made(), cluster.failed()
    before = cluster.get("/api/tasks")
    assert cluster.fleet.master is not None
    cluster.fleet.master.terminate()
    cluster.fleet.master.wait()
    kept = list(Path(str(cluster.fleet.setup.state_dir)).glob("statistics-*.json"))
    assert len(kept) == 1
    assert API_KEY not in kept[0].read_text()
    cluster.fleet.restart_master()
    after = cluster.get("/api/tasks")
    assert after["counts"] == before["counts"]
    assert [row["task_id"] for row in after["rows"]] == [row["task_id"] for row in before["rows"]]
    assert cluster.get(f"/api/tasks/{failed}")["exception"]
    counted = ("succeeded", "failed")
    node, old = after["workers"]["gym@worker-1"], before["workers"]["gym@worker-1"]
    assert [node[name] for name in counted] == [old[name] for name in counted]
    wait_until(lambda: cluster.get("/api/tasks")["workers"]["gym@worker-1"]["online"], 30)
    again = cluster.made()
    assert again != made
    assert cluster.get("/api/tasks")["counts"]["SUCCESS"] == before["counts"]["SUCCESS"] + 1


def test_the_broker_is_shown_with_its_queues_also_when_it_is_away(cluster: Cluster) -> None:
    shown = cluster.get("/api/broker")
    Broker.model_validate(shown)
    assert (shown["ok"], shown["kind"]) == (True, "embedded")
    assert shown["queues"] == [
        {"name": "env.fake.worker-1", "length": 0, "consumers": ["worker-1"], "runner": "fake"}
    ]
    assert "@" not in shown["url"]
    cluster.fleet.kill_broker()
    wait_until(lambda: not cluster.get("/api/broker")["ok"], 30)
    away = cluster.get("/api/broker")
    assert "does not answer" in away["error"]
    assert away["queues"][0]["length"] is None
    cluster.fleet.restart_broker()
    wait_until(lambda: cluster.get("/api/broker")["ok"], 30)


@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks/x", "/api/broker"])
def test_nothing_is_shown_without_a_token(cluster: Cluster, path: str) -> None:
    assert httpx.get(cluster.fleet.url + path, trust_env=False).status_code == 401
