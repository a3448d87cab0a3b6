"""vm_env, played whole by a master and a worker: solutions pass; doing nothing or a mistake does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from gym_queue.client import RemoteGymEnv
from gym_queue.runners.qemu.images.model import Image
from gym_queue.specs.loader import list_tasks, load_env, load_splits, load_task, resolve_env_dir
from gym_queue.testing import Fleet, FleetSetup

ENV_DIR = resolve_env_dir("vm_env")
TASKS = list_tasks(ENV_DIR)
TOKEN = "vm-fleet-token"
Step = list[dict[str, Any]]
Play = Callable[[Sequence[Step]], dict[str, Any]]


@pytest.fixture(scope="module")
def fleet(vm_image: Image) -> Iterator[Fleet]:
    setup = FleetSetup(
        workers=1,
        max_envs=1,
        worker_arguments=("--runners", "qemu", "--must-support-runner", "qemu", "--allow-emulation"),
        variables={"GYM_ANYTHING_TOKEN": TOKEN},
    )
    with Fleet(setup) as running:
        yield running


@pytest.fixture(scope="module")
def task_id(request: pytest.FixtureRequest) -> str:
    named: str = request.param
    return named


@pytest.fixture(scope="module")
def env(fleet: Fleet, task_id: str) -> Iterator[RemoteGymEnv]:
    with RemoteGymEnv.from_config(fleet.url, ENV_DIR.name, task_id=task_id, token=TOKEN) as opened:
        yield opened


@pytest.fixture
def play(env: RemoteGymEnv) -> Play:
    """Give a function that resets a task's environment, takes steps, and returns what the verifier says."""

    def run(steps: Sequence[Step]) -> dict[str, Any]:
        env.reset(use_cache=True, cache_level="default")
        for actions in steps:
            env.step(actions, wait_between_actions=0.0)
        _, _, done, info = env.step([], mark_done=True)
        assert done
        verdict: dict[str, Any] = info["verifier"]
        return verdict

    return run


def scripted(task_id: str, kind: str) -> list[Step]:
    steps: dict[str, list[Step]] = json.loads((ENV_DIR / "tasks" / task_id / "solution.json").read_text())
    return steps[kind]


def played(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test as one that plays tasks; whichever is the first may have to boot the machine."""
    for mark in (
        pytest.mark.needs("qemu-system-x86_64", "qemu-img"),
        pytest.mark.slow,
        pytest.mark.timeout(600),
    ):
        test = mark(test)
    return test


@played
@pytest.mark.parametrize("task_id", TASKS, indirect=True, scope="module")
def test_doing_nothing_earns_nothing(play):
    verdict = play([])
    assert (verdict["passed"], verdict["score"]) == (False, 0), verdict["feedback"]
    assert verdict["feedback"]


@played
@pytest.mark.parametrize("task_id", TASKS, indirect=True, scope="module")
def test_the_solution_passes(play, task_id):
    verdict = play(scripted(task_id, "steps"))
    assert (verdict["passed"], verdict["score"]) == (True, 100), verdict["feedback"]


@played
@pytest.mark.parametrize("task_id", TASKS, indirect=True, scope="module")
def test_a_plausible_mistake_does_not_pass(play, task_id):
    verdict = play(scripted(task_id, "wrong"))
    assert not verdict["passed"]
    assert verdict["score"] < 100


@played
@pytest.mark.parametrize("task_id", ["full_disk"], indirect=True, scope="module")
def test_room_made_by_what_had_to_stay_is_no_room(play):
    line = "sudo rm /srv/data/photos/*; sudo systemctl restart recorder"
    verdict = play([[{"keyboard": {"text": f"{line}\n"}}]])
    assert not verdict["passed"]
    assert "photos and readings are all as they were" in verdict["feedback"]


@pytest.mark.parametrize("task_id", TASKS)
def test_a_task_is_described_in_full(task_id):
    task = load_task(ENV_DIR, task_id)
    assert (task.id, task.env_id) == (task_id, load_env(ENV_DIR).id)
    assert task.description
    assert task.difficulty in {"easy", "medium", "hard"}
    assert task.tags
    assert task.hooks.pre_task == (f"sudo bash /opt/vm_env/setup.sh {task_id}",)


def test_splits_name_tasks_that_exist():
    splits = load_splits(ENV_DIR)
    assert sorted(splits["full"]) == splits["all"] == TASKS
    assert set(splits["quick"]) < set(splits["all"])
