"""Nothing survives, whatever dies, and however."""

from __future__ import annotations

import contextlib
import signal
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import EnvLost, EnvNotFound, GymQueueError
from tests.service.worker.conftest import StartRig
from tests.service.worker.programs import WorkerProgram
from tests.service.worker.rig import Mark, Rig, request, spec, typed
from tests.waiting import wait_until


@pytest.mark.parametrize("runner", ["fake", "local"])
def test_an_environment_whose_process_is_killed_is_lost_at_once_and_alone(
    rig: Rig, mark: Mark, runner: str
) -> None:
    env, neighbour = rig.open_running(spec(runner, hook=mark.daemons())), rig.open_running()
    wait_until(lambda: mark.count() == 3)
    rig.process(env).kill()
    with pytest.raises((EnvLost, EnvNotFound)):
        rig.step(env)
    wait_until(lambda: rig.live == {neighbour.env_id})
    assert mark.count() == 0
    assert not rig.env_dir(env).exists()
    assert rig.step(neighbour)["info"]["step"] == 0
    rig.close(neighbour)


def test_a_call_under_way_hears_at_once_that_its_environment_was_killed(rig: Rig) -> None:
    env = rig.open_running(spec(step_delay_s=600))
    step = rig.begin(rig.host.call(env.env_id, "step", typed("x")))
    wait_until(lambda: env.busy)
    rig.process(env).kill()
    assert isinstance(step.exception(5), GymQueueError)
    wait_until(lambda: rig.live == set())


def test_an_environment_killed_while_it_opens_frees_its_slot(rig: Rig) -> None:
    before = set(rig.forkserver().children())
    opening = rig.begin(rig.host.open(request()))
    wait_until(lambda: set(rig.forkserver().children()) - before or opening.done())
    for child in set(rig.forkserver().children()) - before:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    if opening.exception() is None:  # it was open before it was killed
        wait_until(lambda: opening.result().env_id not in rig.live)
    assert rig.live == set()


def test_a_killed_fork_server_takes_its_environments_with_it_and_is_started_anew(
    start_rig: StartRig, mark: Mark
) -> None:
    rig = start_rig()
    env, hung = rig.open_running(spec(hook=mark.daemons())), rig.open_running(spec("local"))
    processes = [rig.process(env), rig.process(hung)]
    rig.freeze(hung)
    rig.forkserver().kill()
    wait_until(lambda: rig.live == set())
    assert mark.count() == 0
    assert not any(each.is_running() and each.status() != psutil.STATUS_ZOMBIE for each in processes)
    assert list((rig.work_dir / "envs").iterdir()) == []
    assert rig.step(rig.open_running())["info"]["step"] == 0


def test_a_fork_server_killed_just_before_the_stop_leaves_nothing(start_rig: StartRig, mark: Mark) -> None:
    rig = start_rig()
    rig.open_running(spec(hook=mark.daemons()))
    rig.forkserver().kill()
    rig.run(rig.host.stop())
    assert (mark.count(), rig.work_dir.exists()) == (0, False)


@pytest.mark.parametrize("state", ["answering", "hung"])
def test_a_killed_worker_leaves_no_process_and_no_file(short_dir: Path, mark: Mark, state: str) -> None:
    with WorkerProgram(short_dir / "tmp") as worker, worker.wait_ready() as client:
        env_id = client.post("/envs/create", json={"env_spec": spec(hook=mark.daemons())}).json()["env_id"]
        assert client.post(f"/envs/{env_id}/reset").status_code == 200
        family = worker.processes()
        wait_until(lambda: mark.count() == 3)
        if state == "hung":
            next(each for each in family if each.ppid() in {one.pid for one in family}).suspend()
        worker.popen.kill()
        wait_until(lambda: not any(each.is_running() for each in family), 15)
        wait_until(lambda: worker.left() == [])
        assert mark.count() == 0


def test_a_worker_ends_with_status_0_on_sigterm_and_leaves_nothing(short_dir: Path, mark: Mark) -> None:
    with WorkerProgram(short_dir / "tmp") as worker, worker.wait_ready() as client:
        for _ in range(2):
            create = {"env_spec": spec(hook=mark.daemons())}
            env_id = client.post("/envs/create", json=create).json()["env_id"]
            assert client.post(f"/envs/{env_id}/reset").status_code == 200
        family = worker.processes()
        assert worker.terminate() == 0
        assert not any(each.is_running() for each in family)
        assert (worker.left(), mark.count()) == ([], 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_that_waits_for_its_master_leaves_nothing_when_ended(
    short_dir: Path, number: signal.Signals
) -> None:
    with WorkerProgram(short_dir / "tmp", master_url="http://127.0.0.1:9") as worker:
        wait_until(lambda: "waiting for the master" in worker.log_text())
        worker.popen.send_signal(number)
        worker.popen.wait(10)
        assert worker.left() == []


def test_a_worker_whose_temporary_folder_is_too_deep_says_so_in_one_line(short_dir: Path) -> None:
    with WorkerProgram(short_dir / ("x" * 90)) as worker:
        assert worker.read_line().startswith("startup_failed: the path")
        assert worker.popen.wait(10) == 1
        assert worker.left() == []
        assert "Traceback" not in worker.log_text()
