"""Opening, calling and closing environments in processes of their own."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest

from gym_queue.errors import (
    Conflict,
    EnvLost,
    EnvNotFound,
    EnvState,
    EnvTimeout,
    GymQueueError,
    HookFailed,
    NoCapacity,
    RequestInvalid,
    RunnerFailed,
    RunnerUnavailable,
    SpecInvalid,
    SpecNotFound,
    StartupFailed,
)
from gym_queue.protocol.sessions import CreateRequest
from gym_queue.worker.live import HostLimits
from tests.service.worker.conftest import StartRig
from tests.service.worker.rig import Mark, Rig, request, spec, typed
from tests.waiting import wait_until


def outcomes(futures: list[Future[Any]]) -> list[object]:
    return [future.exception() or future.result() for future in futures]


@pytest.mark.parametrize("runner", ["fake", "local"])
def test_an_environment_lives_from_open_to_close_and_leaves_nothing(rig: Rig, runner: str) -> None:
    env = rig.open(spec(runner))
    process = rig.process(env)
    assert rig.reset(env)["observation"]["screen"]["png"].startswith(b"\x89PNG")
    assert rig.step(env)["info"]["step"] == 0
    rig.close(env)
    assert rig.live == set()
    assert not process.is_running()
    assert not rig.env_dir(env).exists()


def test_daemons_end_with_their_environment_marked_or_not(rig: Rig, mark: Mark) -> None:
    env = rig.open_running(spec(hook=mark.daemons()))
    wait_until(lambda: mark.count() == 3)
    rig.close(env)
    assert mark.count() == 0


def test_a_daemon_that_forks_faster_than_it_is_killed_ends(rig: Rig, mark: Mark) -> None:
    chain = f"sleep {mark.text} & while :; do (env -i sleep {mark.text} &) ; done"
    env = rig.open_running(spec(hook=f"(env -i setsid bash -c '{chain}' >/dev/null 2>&1 </dev/null &)"))
    wait_until(lambda: mark.count() > 5)
    rig.close(env)
    assert mark.count() == 0


def test_folders_made_read_only_inside_are_removed(rig: Rig) -> None:
    env = rig.open_running(
        spec(hook="mkdir -p a/b && touch a/b/c && chmod 400 a/b/c && chmod 0 a/b && chmod 500 a")
    )
    rig.close(env)
    assert not rig.env_dir(env).exists()


def test_a_second_close_finds_nothing_left_to_end_and_a_stranger_is_not_found(rig: Rig) -> None:
    env = rig.open()
    rig.close(env)
    rig.close(env)
    with pytest.raises(EnvNotFound, match="never here"):
        rig.run(rig.host.close("stranger"))


def test_closing_twice_at_once_succeeds_twice(rig: Rig) -> None:
    env = rig.open_running()
    closes = [rig.begin(rig.host.close(env.env_id)) for _ in range(2)]
    assert outcomes(closes) == [None, None]


def test_close_comes_through_a_long_step_whose_caller_gets_a_typed_error(rig: Rig) -> None:
    env = rig.open_running(spec(step_delay_s=600))
    step = rig.begin(rig.host.call(env.env_id, "step", typed("x")))
    wait_until(lambda: env.busy)
    rig.close(env)
    assert isinstance(step.exception(), EnvLost | RunnerFailed)


def test_the_same_id_opens_one_environment(rig: Rig) -> None:
    env = rig.open(env_id="twice")
    assert rig.open(env_id="twice") is env
    rig.close(env)


def test_the_same_id_opened_at_once_opens_one_environment(rig: Rig) -> None:
    opens = [rig.begin(rig.host.open(request("at-once"))) for _ in range(4)]
    envs = {id(future.result()) for future in opens}
    assert (len(envs), rig.live) == (1, {"at-once"})
    rig.close(opens[0].result())


def test_all_who_open_a_bad_environment_at_once_are_told_why(rig: Rig) -> None:
    opens = [rig.begin(rig.host.open(request("bad", {"id": "x", "observation": []}))) for _ in range(3)]
    assert {type(future.exception()) for future in opens} == {SpecInvalid}


def test_an_id_is_free_again_after_its_close(rig: Rig) -> None:
    for _ in range(2):
        rig.close(rig.open(env_id="again"))


def test_opening_what_is_being_closed_is_a_conflict(rig: Rig) -> None:
    env = rig.open(env_id="closing")
    rig.freeze(env)
    closing = rig.begin(rig.host.close("closing"))
    wait_until(lambda: env.ending)
    with pytest.raises(Conflict, match="closing"):
        rig.open(env_id="closing")
    rig.process(env).resume()
    closing.result()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"env_spec": {"id": "x", "observation": []}}, SpecInvalid),
        ({"env_spec": spec("docker")}, RunnerUnavailable),
        ({"env_dir": "no_such_env"}, SpecNotFound),
        ({"env_dir": "terminal_env", "task_id": "no_such_task"}, SpecNotFound),
    ],
)
def test_an_open_that_fails_is_typed_and_leaves_no_slot_and_no_file(
    rig: Rig, fields: dict[str, Any], error: type[GymQueueError]
) -> None:
    with pytest.raises(error):
        rig.run(rig.host.open(CreateRequest(**fields)))
    assert rig.live == set()
    assert list((rig.work_dir / "envs").iterdir()) == []


def test_a_failed_hook_fails_the_reset_and_ends_its_daemons(rig: Rig, mark: Mark) -> None:
    env = rig.open(spec(hook=f"{mark.daemons()} false"))
    with pytest.raises(HookFailed):
        rig.reset(env)
    rig.close(env)
    assert mark.count() == 0


def test_a_step_before_reset_is_refused(rig: Rig) -> None:
    env = rig.open()
    with pytest.raises(EnvState):
        rig.step(env)
    rig.close(env)


@pytest.mark.parametrize("value", ["\ud800", [[]]], ids=["half a character", "nested"])
def test_what_cannot_be_handed_on_is_the_callers_error(rig: Rig, value: Any) -> None:
    for _ in range(0 if isinstance(value, str) else 2000):
        value = [value]
    env = rig.open_running()
    with pytest.raises(RequestInvalid):
        rig.call(env, "trajectory_event", {"event": {"value": value}})
    rig.call(env, "trajectory_event", {"event": {"value": 10**40}})
    rig.close(env)


def test_more_environments_than_slots_are_refused(start_rig: StartRig) -> None:
    rig = start_rig(max_envs=2)
    opens = outcomes([rig.begin(rig.host.open(request(f"e{n}"))) for n in range(5)])
    assert sorted(type(each).__name__ for each in opens) == ["LiveEnv"] * 2 + ["NoCapacity"] * 3
    rig.close(next(each for each in opens if not isinstance(each, Exception)))  # type: ignore[arg-type]
    assert rig.open().opened


def test_twenty_environments_open_and_close_at_once(rig: Rig) -> None:
    envs = [future.result() for future in [rig.begin(rig.host.open(request(f"e{n}"))) for n in range(20)]]
    assert len({rig.process(env).pid for env in envs}) == 20
    assert outcomes([rig.begin(rig.host.close(env.env_id)) for env in envs]) == [None] * 20
    assert rig.live == set()
    assert rig.forkserver().children() == []


def test_a_hung_environment_is_killed_alone(start_rig: StartRig, mark: Mark) -> None:
    rig = start_rig(call_timeout_s=0.5)
    hung, neighbour = rig.open_running(spec(hook=mark.daemons())), rig.open_running()
    process = rig.process(hung)
    rig.freeze(hung)
    with pytest.raises(EnvTimeout):
        rig.step(hung)
    assert (rig.live, mark.count(), process.is_running()) == ({neighbour.env_id}, 0, False)
    assert not rig.env_dir(hung).exists()
    assert rig.step(neighbour)["info"]["step"] == 0


def test_a_step_longer_than_the_limit_ends_the_environment(start_rig: StartRig) -> None:
    rig = start_rig(call_timeout_s=0.5)
    env = rig.open_running(spec(step_delay_s=600))
    with pytest.raises(EnvTimeout):
        rig.step(env)
    assert rig.live == set()


def test_callers_that_wait_behind_a_hung_call_get_typed_errors(start_rig: StartRig) -> None:
    rig = start_rig(call_timeout_s=0.5)
    env = rig.open_running()
    rig.freeze(env)
    calls = [rig.begin(rig.host.call(env.env_id, "capture_observation")) for _ in range(4)]
    kinds = {type(future.exception()) for future in calls}
    assert EnvTimeout in kinds
    assert kinds <= {EnvTimeout, EnvLost, EnvNotFound}


class Clock:
    """Time as a test sets it."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_an_idle_environment_is_closed_a_busy_one_is_not(start_rig: StartRig, mark: Mark) -> None:
    clock = Clock()
    rig = start_rig(idle_timeout_s=100, clock=clock)
    idle, busy = rig.open_running(spec(hook=mark.daemons())), rig.open_running(spec(step_delay_s=600))
    patient = rig.open(idle_timeout_s=1000)
    step = rig.begin(rig.host.call(busy.env_id, "step", typed("x")))
    wait_until(lambda: busy.busy)
    clock.now += 101
    wait_until(lambda: idle.env_id not in rig.live)
    assert rig.live == {busy.env_id, patient.env_id}
    assert mark.count() == 0
    rig.close(busy)
    assert isinstance(step.exception(), GymQueueError)


def test_a_draining_host_takes_no_more_and_closes_what_is_left(start_rig: StartRig) -> None:
    rig = start_rig()
    env = rig.open_running()
    finishing = rig.begin(rig.host.finish(20))
    wait_until(lambda: rig.host.draining)
    with pytest.raises(NoCapacity):
        rig.open()
    assert rig.step(env)["info"]["step"] == 0
    rig.close(env)
    finishing.result()
    assert rig.live == set()


def test_a_second_signal_ends_the_grace_period_even_before_it_began(start_rig: StartRig) -> None:
    rig = start_rig()
    rig.open_running()
    rig.host.hurry()
    rig.run(rig.host.finish(600))
    assert rig.live == set()


def test_a_host_stops_with_steps_opens_and_daemons_under_way(start_rig: StartRig, mark: Mark) -> None:
    rig = start_rig()
    env = rig.open_running(spec(hook=mark.daemons(), step_delay_s=600))
    step = rig.begin(rig.host.call(env.env_id, "step", typed("x")))
    wait_until(lambda: env.busy)
    opens = [rig.begin(rig.host.open(request(f"e{n}"))) for n in range(4)]
    wait_until(lambda: len(rig.live) == 5)
    rig.run(rig.host.stop())
    assert isinstance(step.exception(), GymQueueError)
    assert all(isinstance(each, NoCapacity) or hasattr(each, "env_id") for each in outcomes(opens))
    assert (rig.live, mark.count(), rig.work_dir.exists()) == (set(), 0, False)


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    rig = Rig(tmp_path / ("x" * 120), HostLimits(1, 1, 1))
    with pytest.raises(StartupFailed, match="TMPDIR"):
        rig.start()
    rig.stop()
    assert not rig.work_dir.exists()


def test_a_host_that_never_started_can_be_stopped(short_dir: Path) -> None:
    Rig(short_dir / "w", HostLimits(1, 1, 1)).stop()


def test_no_process_of_ours_is_left_by_the_tests_so_far(rig: Rig) -> None:
    assert [each for each in rig.forkserver().children() if each.status() != psutil.STATUS_ZOMBIE] == []
