"""Logs of a real cluster: JSON by default, one request id on every program's lines, and an environment's own lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gym_queue.settings import find_or_make_token
from gym_queue.testing import Fleet, FleetSetup
from tests.waiting import wait_until

SPEC = {
    "id": "small",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
    "action": [{"type": "keyboard"}],
}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GYM_ANYTHING_TOKEN_FILE", str(tmp_path_factory.mktemp("token") / "token"))
        patch.setenv("GYM_ANYTHING_WORKER_CHECKPOINT_DIR", str(tmp_path_factory.mktemp("checkpoints")))
        patch.delenv("GYM_ANYTHING_LOG_FORMAT", raising=False)
        find_or_make_token()
        with Fleet(FleetSetup(workers=1, worker_arguments=("--runners", "fake"))) as fleet:
            yield fleet


@pytest.fixture
def http(fleet: Fleet) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {find_or_make_token()}"}
    with httpx.Client(base_url=fleet.url, headers=headers, trust_env=False, timeout=30) as http:
        yield http


def create(http: httpx.Client, request_id: str, **more: Any) -> str:
    headers = {"X-Request-ID": request_id}
    made = http.post("/envs/create", json={"env_spec": {**SPEC, **more}}, headers=headers)
    assert made.status_code == 201, made.text
    return str(made.json()["env_id"])


def logs(http: httpx.Client, path: str) -> dict[str, Any]:
    reply = http.get(path)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def run_logs(fleet: Fleet, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gym_queue.cli.main", "logs", *arguments, "--remote-url", fleet.url]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_every_line_of_every_program_is_json_with_its_ids(fleet: Fleet, http: httpx.Client) -> None:
    env_id = create(http, "made-here")
    lines = [json.loads(line) for line in fleet.log_text().splitlines() if line]
    assert {"at", "level", "logger", "message"} <= set.intersection(*(set(line) for line in lines))
    assert any("master at http" in line["message"] for line in lines)
    mine = [line for line in lines if line.get("request_id") == "made-here"]
    assert {line.get("worker_id") for line in mine} == {None, "worker-1"}  # the master's, and the worker's
    assert {line["env_id"] for line in mine} == {env_id}


def test_master_and_worker_tell_what_they_logged_about_an_environment(http: httpx.Client) -> None:
    env_id = create(http, "r-7")
    of_worker, of_master = logs(http, f"/envs/{env_id}/logs"), logs(http, f"/api/logs/{env_id}")
    assert [line["text"] for line in of_worker["lines"]] == ["opened a spec (fake)"]
    assert of_master["lines"][0]["text"].startswith("create sent to env.fake.worker-1")
    assert {line["request_id"] for line in of_worker["lines"] + of_master["lines"]} == {"r-7"}
    assert (of_worker["note"], of_master["note"], of_master["worker_id"]) == (None, None, "worker-1")


def test_asking_is_no_use_of_an_environment(fleet: Fleet, http: httpx.Client) -> None:
    env_id = create(http, "r")
    with httpx.Client(base_url=fleet.worker_urls[0], headers=http.headers, trust_env=False) as worker:
        before = worker.get("/envs/list").json()["environments"][env_id]["last_activity"]
        logs(http, f"/envs/{env_id}/logs")
        assert worker.get("/envs/list").json()["environments"][env_id]["last_activity"] == before


def test_what_the_environments_own_process_logged_outlives_it(http: httpx.Client) -> None:
    env_id = create(http, "r")
    assert http.post(f"/envs/{env_id}/reset", json={"use_cache": True}).status_code == 200
    assert http.post(f"/envs/{env_id}/close").status_code == 200
    told = logs(http, f"/api/logs/{env_id}")
    assert {line["source"] for line in told["lines"]} == {"master", "worker", "env"}
    assert "closed" in [line["text"] for line in told["lines"]]
    assert told["note"] == "the environment has ended (closed)"
    times = [line["at"] for line in told["lines"]]
    assert times == sorted(times)


def test_of_an_environment_whose_process_died_there_is_what_is_known(
    fleet: Fleet, http: httpx.Client
) -> None:
    env_id = create(http, "r")
    victims = [each for each in http.get("/envs/list").json()["environments"] if each != env_id]
    for other in victims:
        http.post(f"/envs/{other}/close")
    fleet.kill_env_process(0)
    wait_until(lambda: http.post(f"/envs/{env_id}/step", json={}).status_code == 410)
    wait_until(lambda: "died (status -9)" in str(logs(http, f"/api/logs/{env_id}")["lines"]))
    ran = run_logs(fleet, env_id)
    assert (ran.returncode, "died (status -9)" in ran.stdout, "has ended" in ran.stderr) == (0, True, True)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=1e9", "limit=99999999999999999999"]
)
def test_a_limit_that_is_none_is_refused(http: httpx.Client, query: str) -> None:
    env_id = create(http, "r")
    for path in (f"/envs/{env_id}/logs", f"/api/logs/{env_id}"):
        assert http.get(f"{path}?{query}").json()["code"] == "request_invalid"
    assert len(logs(http, f"/api/logs/{env_id}?limit=1")["lines"]) == 1
    http.post(f"/envs/{env_id}/close")


def test_an_environment_that_nobody_knows_is_told_so(fleet: Fleet, http: httpx.Client) -> None:
    for path in ("/envs/none/logs", "/api/logs/none"):
        assert (http.get(path).status_code, http.get(path).json()["code"]) == (404, "env_not_found")
    ran = run_logs(fleet, "none")
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: ")
    assert run_logs(fleet, "no/env").returncode == 2


def test_the_command_merges_all_and_follows_to_the_end(fleet: Fleet, http: httpx.Client) -> None:
    env_id = create(http, "r-9")
    text = run_logs(fleet, env_id)
    first, second = text.stdout.splitlines()
    assert "master gym_queue.master.creates: create sent to" in first
    assert second.endswith("worker gym_queue.worker.host: opened a spec (fake) request_id=r-9")
    assert len(run_logs(fleet, env_id, "--lines", "1").stdout.splitlines()) == 1
    command = [sys.executable, "-m", "gym_queue.cli.main", "logs", env_id, "--follow", "--json"]
    with subprocess.Popen(
        [*command, "--remote-url", fleet.url], stdout=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        begun = [json.loads(follower.stdout.readline()) for _ in range(2)]
        http.post(f"/envs/{env_id}/close")
        rest = [json.loads(line) for line in follower.stdout]
        assert follower.wait(30) == 0
    assert [line["source"] for line in begun] == ["master", "worker"]
    assert [line["text"] for line in rest] == ["closed"]
