"""terminal_env, played whole: solutions pass; doing nothing, a plausible mistake, or a wiped home do not."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gym_queue import from_config
from gym_queue.runners.processes import find_processes
from gym_queue.specs.loader import list_tasks, load_env, load_splits, load_task, resolve_env_dir

ENV_DIR = resolve_env_dir("terminal_env")
TASKS = [
    pytest.param(name, marks=pytest.mark.needs(*load_task(ENV_DIR, name).metadata["needs"]))
    for name in list_tasks(ENV_DIR)
]
Step = list[dict[str, Any]]


def typed(*lines: str) -> list[Step]:
    return [[{"keyboard": {"text": f"{line}\n"}}] for line in lines]


def scripted(task_id: str, kind: str) -> list[Step]:
    steps: dict[str, list[Step]] = json.loads((ENV_DIR / "tasks" / task_id / "solution.json").read_text())
    return steps[kind]


def play(task_id: str, steps: Sequence[Step], *, seed: int | None = 3) -> dict[str, Any]:
    with from_config(ENV_DIR, task_id) as env:
        env.reset(seed=seed)
        for actions in steps:
            env.step(actions, wait_between_actions=0.0)
        _, _, done, info = env.step([], mark_done=True)
    assert done
    verdict: dict[str, Any] = info["verifier"]
    return verdict


def setup_files(task_id: str, home: Path, seed: int) -> dict[str, bytes]:
    home.mkdir()
    variables = {"PATH": os.environ["PATH"], "HOME": str(home), "GYM_SEED": str(seed), "GYM_TRUTH": "1"}
    subprocess.run(["bash", ENV_DIR / "scripts" / "setup.sh", task_id], env=variables, check=True)
    files = [path for path in home.rglob("*") if path.is_file() and path.name != "index"]
    return {str(path.relative_to(home)): path.read_bytes() for path in files}


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("task_id", TASKS)
def test_the_solution_passes_whatever_the_seed(task_id, seed):
    verdict = play(task_id, scripted(task_id, "steps"), seed=seed)
    assert (verdict["passed"], verdict["score"]) == (True, 100), verdict["feedback"]


@pytest.mark.parametrize("task_id", TASKS)
def test_doing_nothing_earns_nothing(task_id):
    verdict = play(task_id, [])
    assert (verdict["passed"], verdict["score"]) == (False, 0)
    assert verdict["feedback"]


@pytest.mark.parametrize("task_id", TASKS)
def test_a_plausible_mistake_does_not_pass(task_id):
    verdict = play(task_id, scripted(task_id, "wrong"))
    assert not verdict["passed"]
    assert verdict["score"] < 100


@pytest.mark.parametrize("task_id", TASKS)
def test_a_wiped_home_is_judged_and_does_not_pass(task_id):
    verdict = play(task_id, typed("rm -rf -- * .[!.]*"))
    assert not verdict["passed"]
    assert verdict["score"] <= 50


def test_a_reset_without_a_seed_can_be_solved():
    assert play("top_ip", scripted("top_ip", "steps"), seed=None)["passed"]


def test_changing_the_seed_inside_does_not_change_the_truth():
    forged = typed("echo export GYM_SEED=4 > .bash_profile", "sed -i.old s/404/200/ access.log")
    assert not play("top_ip", forged + scripted("top_ip", "steps"))["passed"]


@pytest.fixture
def cron(monkeypatch):
    monkeypatch.syspath_prepend(str(ENV_DIR))
    return runpy.run_path(str(ENV_DIR / "tasks" / "schedule_job" / "verifier.py"))["values"]


@pytest.mark.parametrize("days", ["1-5", "mon-fri", "1,2,3,4,5", "1-3,THU-5", "1-5/1"])
def test_any_spelling_of_the_same_days_is_right(cron, days):
    assert cron(days, 0, 7) == {1, 2, 3, 4, 5}


def test_cron_fields_mean_what_cron_says(cron):
    assert cron("*/15", 0, 59) == {0, 15, 30, 45}
    assert cron("50/5", 0, 59) == {50, 55}
    assert cron("5-7", 0, 7) == {5, 6, 0}


@pytest.mark.parametrize("field", ["9", "5-1", "1-5/0", "", "1-", "x"])
def test_a_field_that_cron_refuses_is_refused(cron, field):
    with pytest.raises(ValueError):
        cron(field, 0, 7)


@pytest.mark.parametrize("task_id", ["follow_log", "kill_runaway"])
def test_background_processes_end_with_the_environment(task_id):
    with from_config(ENV_DIR, task_id) as env:
        env.reset(seed=3)
        assert find_processes(env.env_id)
    assert not find_processes(env.env_id)


def test_the_agent_finds_no_script_of_the_setup():
    with from_config(ENV_DIR, "top_ip") as env:
        env.reset(seed=3)
        observation, *_ = env.step(typed("ls -A")[0])
    text = observation["cli_stdout"]["text"]
    assert "access.log" in text
    assert ".gym" not in text


@pytest.mark.parametrize("task_id", TASKS)
def test_the_setup_follows_from_the_seed(task_id, tmp_path):
    made = [setup_files(task_id, tmp_path / str(run), seed) for run, seed in enumerate((0, 0, 1, 2, 3))]
    assert made[0] == made[1]
    assert any(files != made[0] for files in made)


@pytest.mark.parametrize("task_id", list_tasks(ENV_DIR))
def test_a_task_is_described_in_full(task_id):
    task = load_task(ENV_DIR, task_id)
    assert (task.id, task.env_id) == (task_id, load_env(ENV_DIR).id)
    assert task.description
    assert task.difficulty in {"easy", "medium", "hard"}
    assert task.tags


def test_splits_name_tasks_that_exist():
    splits = load_splits(ENV_DIR)
    assert sorted(splits["full"]) == splits["all"] == list_tasks(ENV_DIR)
    assert set(splits["quick"]) < set(splits["all"])
