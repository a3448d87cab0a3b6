"""A real fleet, driven by real clients."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys

import httpx
import psutil
import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.errors import ConnectionFailed, EnvLost, EnvNotFound, NoCapacity, Unauthorized
from gym_queue.settings import find_token
from gym_queue.testing import Program
from tests.acceptance.conftest import fleet_at, wait_until

LS = [{"keyboard": {"text": "ls\n"}}]


def api(url: str, method: str, path: str, **options) -> httpx.Response:
    headers = {"Authorization": f"Bearer {find_token()}"}
    return httpx.request(method, url + path, headers=headers, timeout=30, trust_env=False, **options)


def opened(fleet, **options) -> RemoteGymEnv:
    return RemoteGymEnv.from_config(fleet.url, "terminal_env", "largest_file", **options)


def inside(place, env) -> list[psutil.Process]:
    """Return the processes of an environment's sandbox."""
    found = []
    for process in place.processes():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("GYM_ENV_ID") == env.env_id:
                found.append(process)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def fleet(place):
    with fleet_at(place) as running:
        yield running
    place.wait_empty()


def test_an_episode_through_the_master(fleet):
    with opened(fleet) as env:
        first = env.reset(seed=3)
        assert first["screen"].image().shape == (720, 1280, 3)
        seen, reward, done, info = env.step(LS)
        assert "files" in seen["cli_stdout"]["text"]
        assert (reward, done, info["step"]) == (0.0, False, 0)
        assert (seen["screen"].image() != first["screen"].image()).any()
        _, reward, done, info = env.step([], mark_done=True)
        assert (reward, done, info["reason"]) == (0.0, True, "Agent Completed")
        assert info["verifier"]["passed"] is False
        session = env.get_session_info()
        assert session is not None
        assert (session.runner_name, session.task_id) == ("LocalRunner", "largest_file")


def test_environments_are_spread_over_the_workers(fleet):
    envs = [opened(fleet) for _ in range(4)]
    mapping = api(fleet.url, "GET", "/workers/list").json()["env_mappings"]
    assert sorted(mapping.values()) == ["worker-1", "worker-1", "worker-2", "worker-2"]
    for env in envs:
        env.close()
    assert api(fleet.url, "GET", "/envs/list").json()["total"] == 0


def test_the_killed_process_of_an_environment_is_a_lost_environment_and_its_neighbour_goes_on(fleet, place):
    with opened(fleet) as env, opened(fleet) as neighbour:
        env.reset()
        neighbour.reset()
        env.step([{"keyboard": {"text": "setsid sleep 1000 & nohup sleep 2000 &\n"}}])
        [shell] = [process for process in inside(place, env) if process.name() == "bash"]
        os.kill(shell.ppid(), signal.SIGKILL)
        with pytest.raises((EnvLost, EnvNotFound)):
            env.step(LS)
        wait_until(lambda: not inside(place, env))
        assert neighbour.step(LS)[3]["step"] == 0


def test_a_worker_that_is_told_to_end_leaves_nothing_and_its_environments_are_lost(fleet, place):
    with contextlib.ExitStack() as stack:
        envs = [stack.enter_context(opened(fleet)) for _ in range(4)]
        for env in envs:
            env.reset()
        fleet.workers[0].terminate()
        assert fleet.workers[0].wait() == 0
        left = api(fleet.url, "GET", "/workers/list").json()["workers"]
        assert [entry["worker_id"] for entry in left] == ["worker-2"]
        lost = [env for env in envs if env.worker_id == "worker-1"]
        assert len(lost) == 2
        for env in lost:
            with pytest.raises(EnvLost):
                env.step(LS)
            assert inside(place, env) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_ends_well_on_either_signal(place, number):
    with fleet_at(place, workers=1) as fleet:
        fleet.workers[0].process.send_signal(number)
        assert fleet.workers[0].wait() == 0
        log = fleet.log_text()
    assert "error" not in log
    assert "failed to start" not in log


def test_a_second_signal_ends_the_grace_period(place):
    with fleet_at(place, workers=1, grace_s=600.0) as fleet, opened(fleet) as env:
        env.reset()
        worker = fleet.workers[0]
        worker.terminate()
        wait_until(lambda: "a second signal ends them now" in fleet.log_text())
        assert env.step(LS)[3]["step"] == 0
        worker.terminate()
        assert worker.wait(20) == 0


def test_a_demo_that_is_told_to_end_leaves_nothing(place):
    with place.started("gym-anything", "demo") as demo:
        wait_for_line(demo, "workers ready")
        demo.terminate()
        assert demo.wait(30) != 0
    place.wait_empty()


def test_a_killed_worker_leaves_no_process_and_no_file(fleet, place):
    with opened(fleet) as env:
        env.reset()
        worker = next(
            w
            for w, name in zip(fleet.workers, ("worker-1", "worker-2"), strict=True)
            if name == env.worker_id
        )
        family = psutil.Process(worker.process.pid).children(recursive=True)
        worker.process.kill()
        worker.wait()
        wait_until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in family))
        wait_until(lambda: not inside(place, env))


def test_a_full_fleet_makes_a_create_wait_and_then_says_why_it_was_refused(place):
    with fleet_at(place, workers=1, max_envs=1) as fleet:
        with opened(fleet), pytest.raises(NoCapacity, match="worker-1: all 1 slots are taken"):
            opened(fleet, queue_timeout_s=0.5)
        opened(fleet, queue_timeout_s=5).close()


def test_a_worker_without_queues_serves_through_the_master_too(place):
    flags = ["--worker-id", "lone", "--no-auth", "--host", "127.0.0.1"]
    with fleet_at(place, workers=0) as fleet:
        lone = Program(
            "gym_queue.cli.worker", flags, log=place.folder / "lone.log", variables=place.variables
        )
        url = lone.wait_ready()
        registration = {
            "worker_id": "lone",
            "url": url,
            "max_envs": 1,
            "metadata": {"available_runners": ["local"]},
        }
        assert api(fleet.url, "POST", "/workers/register", json=registration).status_code == 201
        with opened(fleet) as env:
            env.reset()
            assert "files" in env.step(LS)[0]["cli_stdout"]["text"]
        assert "gym_queue.create_env" not in fleet.log_text()
        lone.terminate()
        assert lone.wait() == 0


def test_remote_url_may_name_a_worker(place):
    with (
        fleet_at(place, workers=1) as fleet,
        RemoteGymEnv.from_config(fleet.worker_urls[0], "terminal_env", "largest_file") as env,
    ):
        env.reset()
        assert "files" in env.step(LS)[0]["cli_stdout"]["text"]


@pytest.mark.parametrize("token", ["", "wrong"])
def test_without_the_token_nothing_but_health_is_served(fleet, token):
    assert httpx.get(f"{fleet.url}/health", trust_env=False).json()["role"] == "master"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for url in (fleet.url, *fleet.worker_urls):
        refused = httpx.get(f"{url}/envs/list", headers=headers, trust_env=False)
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    with pytest.raises(Unauthorized, match="token"):
        opened(fleet, token=token or "other")


def test_no_auth_serves_everybody(place):
    arguments = {"master_arguments": ("--no-auth",), "worker_arguments": ("--no-auth",)}
    with fleet_at(place, workers=1, **arguments) as fleet:
        assert httpx.get(f"{fleet.url}/workers/list", trust_env=False).status_code == 200
        with opened(fleet, token="") as env:
            env.reset()


def test_a_master_that_is_gone_is_one_sentence(place):
    url = f"http://localhost:{free_port()}"
    with pytest.raises(ConnectionFailed, match=url):
        RemoteGymEnv.from_config(url, "terminal_env", "largest_file", timeout=1)


PAGE = """
from gym_anything import RemoteGymEnv

env = RemoteGymEnv.from_config(remote_url="{url}", env_dir="terminal_env", task_id="largest_file")
obs = env.reset()
obs, reward, done, info = env.step([{{"mouse": {{"left_click": [10, 10]}}}}, {{"keyboard": {{"text": "ls\\n"}}}}])
print(obs["cli_stdout"]["text"], done)
env.close()
"""


def test_the_commands_of_the_remote_page_work_as_written(place):
    port = str(free_port())
    url = f"http://localhost:{port}"
    with (
        place.started("gym-anything-master", "--host", "0.0.0.0", "--port", port),
        place.started(
            "gym-anything-worker", "--master-url", url, "--max-envs", "1", "--advertise-host", "localhost"
        ),
    ):
        wait_until(
            lambda: place.run("gym-anything", "status", "--remote-url", url, "--json").stdout.count(
                '"status": "healthy"'
            )
        )
        script = subprocess.run(
            [sys.executable, "-c", PAGE.format(url=url)],
            env={**os.environ, **place.variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert script.returncode == 0, script.stderr
        assert "files" in script.stdout
        ran = place.run(
            *("gym-anything", "benchmark", "terminal_env", "--task", "largest_file"),
            *("--agent", "ScriptedAgent", "--remote-url", url),
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "1 passed, 0 failed" in ran.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_of_up_leaves_nothing_behind(place, number):
    with place.started("gym-anything", "up", "--port", "0") as up:
        wait_for_line(up, "Ctrl-C stops everything")
        assert len(place.processes()) >= 4
        up.send_signal(number)
        assert up.wait(30) == 0
    place.wait_empty()


def test_a_killed_up_takes_its_cluster_with_it(place):
    with place.started("gym-anything", "up", "--port", "0") as up:
        wait_for_line(up, "Ctrl-C stops everything")
        up.kill()
        up.wait()
        wait_until(lambda: not place.processes())


def test_up_on_a_taken_port_fails_whole(place):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = place.run("gym-anything", "up", "--port", str(taken.getsockname()[1]))
    assert ran.returncode == 1
    assert "is taken" in ran.stderr
    assert "Traceback" not in ran.stderr
    place.wait_empty()


def test_the_demo_passes_and_leaves_nothing(place):
    ran = place.run("gym-anything", "demo", timeout_s=110)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "12 passed, 0 failed, 0 errors of 12" in ran.stdout
    place.wait_empty()


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(f"{text!r} was never printed; it ended with {process.wait()}")
