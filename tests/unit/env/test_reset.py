from __future__ import annotations

from pathlib import Path

import pytest

from gym_queue.errors import EnvState, HookFailed, NotSupported, RunnerUnavailable
from gym_queue.runners.base import Runner, RunnerSetup, VmOptions
from gym_queue.runners.fake import FakeRunner
from tests.unit.env.conftest import Lab, events_of, reset, step

ALL_HOOKS = {
    "hooks": {"pre_start": "echo pre_start >>log", "post_start": ["echo post_start >>log", "echo 2 >>log"]}
}
TASK_HOOKS = {"hooks": {"pre_task": "echo pre_task >>log"}, "init": {"init_script": "echo init_script >>log"}}


def sandbox_file(lab: Lab, name: str) -> Path:
    return lab.work_dir / "sandbox/home" / name


def test_hooks_run_in_the_formats_order(lab: Lab) -> None:
    reset(lab.open(env={**ALL_HOOKS, "reset_script": "echo reset_script >>log"}, task=TASK_HOOKS))
    log = sandbox_file(lab, "log").read_text().split()
    assert log == ["pre_start", "post_start", "2", "reset_script", "pre_task", "init_script"]


def test_the_reset_hook_runs_where_there_is_no_reset_script(lab: Lab) -> None:
    reset(lab.open(env={"hooks": {"reset": "echo reset >>log"}}))
    assert sandbox_file(lab, "log").read_text() == "reset\n"


def test_the_reset_script_replaces_the_reset_hook(lab: Lab) -> None:
    reset(lab.open(env={"hooks": {"reset": "echo hook >>log"}, "reset_script": "echo script >>log"}))
    assert sandbox_file(lab, "log").read_text() == "script\n"


def test_hooks_see_the_task_and_the_seed(lab: Lab) -> None:
    reset(lab.open(task={"init": {"init_script": "echo $GYM_TASK_ID $GYM_SEED >log"}}), seed=7)
    assert sandbox_file(lab, "log").read_text() == "the_task 7\n"


@pytest.mark.parametrize(
    ("name", "env", "task"),
    [
        ("pre_start", {"hooks": {"pre_start": "echo broken; exit 3"}}, None),
        ("post_start", {"hooks": {"post_start": ["true", "echo broken; exit 3"]}}, None),
        ("reset_script", {"reset_script": "echo broken; exit 3"}, None),
        ("reset", {"hooks": {"reset": "echo broken; exit 3"}}, None),
        ("pre_task", {}, {"hooks": {"pre_task": "echo broken; exit 3"}}),
        ("init_script", {}, {"init": {"init_script": "echo broken; exit 3"}}),
    ],
)
def test_a_failed_hook_fails_the_reset_and_leaves_nothing(lab: Lab, name: str, env: dict, task: dict) -> None:
    episode = lab.open(env=env, task=task)
    with pytest.raises(HookFailed, match=f"{name} exited with status 3.*broken") as caught:
        reset(episode)
    assert caught.value.details == {"hook": name, "exit_status": 3, "output": "broken"}
    assert lab.remains() == []
    with pytest.raises(EnvState, match="reset first"):
        step(episode)


def test_a_failed_hook_ends_the_daemons_of_those_before_it(lab: Lab) -> None:
    hooks = {"pre_start": "setsid sleep 1000 >/dev/null 2>&1 & disown", "post_start": "exit 1"}
    with pytest.raises(HookFailed):
        reset(lab.open(env={"hooks": hooks}))
    assert lab.remains() == []


def test_only_the_tail_of_a_hooks_output_is_kept(lab: Lab) -> None:
    with pytest.raises(HookFailed) as caught:
        reset(lab.open(env={"reset_script": "seq 100000; echo the end; exit 1"}))
    assert len(str(caught.value)) < 3000
    assert caught.value.details["output"].endswith("the end")


def test_a_hook_past_its_limit_fails_the_reset_with_its_output(lab: Lab) -> None:
    hooks = {"pre_task": "echo so far; sleep 1000", "pre_task_timeout": 0.3}
    with pytest.raises(HookFailed, match=r"pre_task ran longer than its 0\.3 s.*so far") as caught:
        reset(lab.open(task={"hooks": hooks}))
    assert caught.value.details["output"] == "so far"
    assert lab.remains() == []


def test_a_failed_reset_can_be_tried_again(lab: Lab) -> None:
    flag = lab.work_dir / "flag"
    episode = lab.open(env={"reset_script": f"test -e {flag}"})
    with pytest.raises(HookFailed):
        reset(episode)
    flag.touch()
    assert reset(episode)["observation"]["screen"]["png"]


def test_a_reset_replies_with_observation_timings_and_policy(lab: Lab) -> None:
    reply = reset(lab.open(reset_policy="baseline_setup"))
    assert reply["observation"]["screen"]["resolution"] == [64, 48]
    assert set(reply["_timings"]) == {"start", "hooks", "settle"}
    assert reply["_post_reset_policy"] == "baseline_setup"


def test_the_call_may_name_another_policy(lab: Lab) -> None:
    episode = lab.open(reset_policy="baseline_setup")
    assert reset(episode, post_reset_policy="core")["_post_reset_policy"] == "core"


def test_a_second_reset_makes_a_fresh_sandbox_and_a_new_folder(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    first = episode.episode_dir
    sandbox_file(lab, "left").touch()
    reset(episode)
    assert not sandbox_file(lab, "left").exists()
    assert first != episode.episode_dir
    assert [event["event"] for event in events_of(episode)] == ["reset", "session"]


def test_a_work_dir_used_before_keeps_its_episodes_apart(lab: Lab) -> None:
    first, second = lab.open(), lab.open()
    reset(first)
    step(first)
    first.close()
    reset(second)
    assert first.episode_dir != second.episode_dir
    assert len(events_of(second)) == 2


def test_a_reset_after_done_starts_anew(lab: Lab) -> None:
    episode = lab.open()
    reset(episode)
    step(episode, mark_done=True)
    reset(episode)
    assert step(episode)["info"]["step"] == 0


def test_a_machine_snapshot_is_refused_before_anything_is_touched(lab: Lab) -> None:
    episode = lab.open(runner="local")
    reset(episode)
    with pytest.raises(NotSupported, match="use_savevm"):
        reset(episode, use_savevm=True)
    assert step(episode)["done"] is False


def test_a_machine_that_this_host_has_no_memory_for_is_refused_before_it_starts(lab: Lab) -> None:
    def open_runner(name: str, setup: RunnerSetup) -> Runner:
        raise AssertionError(f"{name} was opened")

    episode = lab.open(env={"resources": {"mem_gb": 900_000}}, runner="qemu", open_runner=open_runner)
    with pytest.raises(RunnerUnavailable, match=r"lower resources\.mem_gb"):
        reset(episode)


def test_how_virtual_machines_run_reaches_the_runner(lab: Lab) -> None:
    seen: list[RunnerSetup] = []

    def open_runner(name: str, setup: RunnerSetup) -> Runner:
        seen.append(setup)
        return FakeRunner(setup)

    options = VmOptions("tcg", allow_emulation=True)
    reset(lab.open(vm=options, open_runner=open_runner))
    assert seen[0].vm == options


def test_a_task_for_windows_alone_is_refused_at_open(lab: Lab) -> None:
    with pytest.raises(NotSupported, match="init_pyautogui, which is for Windows"):
        lab.open(task={"init": {"init_pyautogui": ["click"]}})


def test_a_verifier_mode_that_there_is_not_is_refused_at_open(lab: Lab) -> None:
    with pytest.raises(NotSupported, match="GYM_ANYTHING_VERIFIER_MODE is 'ocr'"):
        lab.open(task={}, verifier_env={"GYM_ANYTHING_VERIFIER_MODE": "ocr"})


def test_limits_larger_than_a_call_may_set_can_be_opened(lab: Lab) -> None:
    reset(lab.open(task={"init": {"max_steps": 10**9, "timeout_sec": 1e9}}))


def test_one_seed_gives_one_screen_and_another_another(lab: Lab) -> None:
    episode = lab.open()
    first, again, other = (reset(episode, seed=seed)["observation"]["screen"]["png"] for seed in (5, 5, 6))
    assert first == again != other


def test_session_info_is_none_before_the_first_reset(lab: Lab) -> None:
    episode = lab.open(task={})
    assert episode.session_info() is None
    assert episode.episode_dir is None
    reset(episode)
    info = episode.session_info()
    assert info is not None
    assert (info.env_id, info.task_id, info.runner_name) == (lab.env_id, "the_task", "FakeRunner")
    assert (info.resolution, info.artifacts_dir) == ((64, 48), str(episode.episode_dir))
