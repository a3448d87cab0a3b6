"""Finished episodes through a master: real workers that come and go."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gym_queue.testing import Fleet, FleetSetup
from gym_queue.web.server import LoopThread
from tests.service.master.conftest import RunningMaster
from tests.service.master.guarded import guarded_master
from tests.service.master.oldworkers import OldWorker
from tests.service.worker.test_http import code
from tests.waiting import wait_until

TOKEN = secrets.token_hex(16)
SPEC = {
    "id": "small",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
    "action": [{"type": "keyboard"}],
}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    setup = FleetSetup(
        workers=2, worker_arguments=("--runners", "fake"), variables={"GYM_ANYTHING_TOKEN": TOKEN}
    )
    with Fleet(setup) as started:
        yield started


@pytest.fixture(scope="module")
def http(fleet: Fleet) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=fleet.url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


def play(http: httpx.Client) -> str:
    """Play an episode to its end; return its environment's id."""
    env_id: str = http.post("/envs/create", json={"env_spec": SPEC}).json()["env_id"]
    assert http.post(f"/envs/{env_id}/reset").status_code == 200
    assert http.post(f"/envs/{env_id}/step", json={"actions": [], "mark_done": True}).status_code == 200
    assert http.post(f"/envs/{env_id}/close").status_code == 200
    return env_id


def found(http: httpx.Client, env_id: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = http.get("/api/episodes", params={"env": env_id}).json()["rows"]
    return rows


def address(row: dict[str, Any]) -> str:
    return f"/workers/{row['worker_id']}/episodes/{row['env_id']}/{row['episode']}"


def test_an_episode_is_listed_shown_and_its_files_handed_on(http: httpx.Client) -> None:
    (row,) = found(http, play(http))
    assert (row["env"], row["outcome"], row["frames"]) == ("small", "unjudged", 2)
    view = http.get(address(row)).json()
    assert (view["frames"], view["worker_id"]) == ([0, 1], row["worker_id"])
    frame = http.get(f"{address(row)}/file?path=frame_00001.png")
    assert frame.content.startswith(PNG)
    assert (frame.headers["Content-Type"], frame.headers["X-Content-Type-Options"]) == (
        "image/png",
        "nosniff",
    )


def test_ranges_and_conditions_reach_the_worker(http: httpx.Client) -> None:
    (row,) = found(http, play(http))
    path = f"{address(row)}/file?path=traj.jsonl"
    whole = http.get(path)
    part = http.get(path, headers={"Range": "bytes=-4"})
    assert (part.status_code, part.content) == (206, whole.content[-4:])
    assert part.headers["Content-Range"].endswith(f"/{len(whole.content)}")
    assert http.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status_code == 304
    head = http.head(path)
    assert (head.headers["Content-Length"], head.content) == (str(len(whole.content)), b"")


def test_episodes_come_back_with_their_worker(fleet: Fleet, http: httpx.Client) -> None:
    (row,) = found(http, play(http))
    number = int(row["worker_id"][-1]) - 1
    fleet.kill_worker(number)
    wait_until(lambda: code(http.get(address(row)))[1] in ("worker_unreachable", "worker_not_found"))
    fleet.restart_worker(number)
    wait_until(lambda: http.get(address(row)).status_code == 200)
    assert http.get(address(row)).json()["ended"] == row["ended"]


@pytest.mark.parametrize("path", ["", "/file?path=traj.jsonl"])
def test_a_worker_or_an_episode_that_is_not_there_is_said(http: httpx.Client, path: str) -> None:
    episode = f"episodes/e1/episode_001{path}"
    assert code(http.get(f"/workers/nobody/{episode}")) == (404, "worker_not_found")
    assert code(http.get(f"/workers/worker-1/{episode}")) == (404, "path_not_found")
    assert code(http.get(f"/workers/worker-1/episodes/e1/x{path}")) == (422, "request_invalid")
    assert code(http.get(f"/workers/w%2F..%2F/{episode}"))[0] in (404, 422)


@pytest.mark.parametrize("query", ["limit=0", "before=nan", "outcome=good", "limit=1&limit=2"])
def test_a_query_that_cannot_be_is_refused(http: httpx.Client, query: str) -> None:
    assert code(http.get(f"/api/episodes?{query}")) == (422, "request_invalid")


def test_nobody_reads_episodes_without_the_token(fleet: Fleet, http: httpx.Client) -> None:
    (row,) = found(http, play(http))
    for path in ("/api/episodes", address(row), f"{address(row)}/file?path=traj.jsonl"):
        assert httpx.get(f"{fleet.url}{path}").status_code == 401
        assert httpx.get(f"{fleet.url}{path}", cookies={"gym_queue_token": TOKEN}).status_code == 200


@pytest.mark.parametrize(
    ("who", "expected"), [("alice", 403), ("worker", 403), ("metrics", 403), ("cluster", 200)]
)
def test_episodes_are_the_operator_s_alone(loop: LoopThread, tmp_path: Path, who: str, expected: int) -> None:
    with guarded_master(loop, tmp_path) as guarded:
        guarded.name("alice")
        assert guarded.by(who).get("/api/episodes").status_code == expected
        one = guarded.by(who).get("/workers/w1/episodes/e1/episode_001").status_code
        assert one == (404 if expected == 200 else expected)


def test_a_worker_of_before_has_no_episodes(master: RunningMaster, worker: OldWorker) -> None:
    worker.register(master.http)
    page = master.http.get("/api/episodes").json()
    assert (page["rows"], page["unreachable"]) == ([], [])
    assert master.http.get("/workers/w1/episodes/e1/episode_001").status_code == 404
