"""desktop_env, played whole: solutions pass; doing nothing or a plausible mistake does not. And what presets ship."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gym_queue import from_config
from gym_queue.runners.docker.image import BUILD_ARGS_VARIABLE, find_dockerfile
from gym_queue.specs.loader import list_tasks, load_env, load_splits, load_task, resolve_env_dir
from gym_queue.specs.presets import PRESETS

ENV_DIR = resolve_env_dir("desktop_env")
TASKS = list_tasks(ENV_DIR)
Step = list[dict[str, Any]]


@pytest.fixture
def built_on(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BUILD_ARGS_VARIABLE, f"BASE={image}")


def scripted(task_id: str, kind: str) -> list[Step]:
    steps: dict[str, list[Step]] = json.loads((ENV_DIR / "tasks" / task_id / "solution.json").read_text())
    return steps[kind]


def play(task_id: str, steps: Sequence[Step]) -> dict[str, Any]:
    with from_config(ENV_DIR, task_id) as env:
        env.reset(seed=3)
        for actions in steps:
            env.step(actions, wait_between_actions=0.0)
        _, _, done, info = env.step([], mark_done=True)
    assert done
    verdict: dict[str, Any] = info["verifier"]
    return verdict


@pytest.mark.slow
@pytest.mark.usefixtures("built_on")
@pytest.mark.timeout(600)  # the first one builds the image
@pytest.mark.parametrize("task_id", TASKS)
def test_the_solution_passes(task_id):
    verdict = play(task_id, scripted(task_id, "steps"))
    assert (verdict["passed"], verdict["score"]) == (True, 100), verdict["feedback"]


@pytest.mark.slow
@pytest.mark.usefixtures("built_on")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task_id", TASKS)
def test_doing_nothing_earns_nothing(task_id):
    verdict = play(task_id, [])
    assert (verdict["passed"], verdict["score"]) == (False, 0)
    assert verdict["feedback"]


@pytest.mark.slow
@pytest.mark.usefixtures("built_on")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("task_id", TASKS)
def test_a_plausible_mistake_does_not_pass(task_id):
    verdict = play(task_id, scripted(task_id, "wrong"))
    assert not verdict["passed"]
    assert verdict["score"] < 100


@pytest.mark.parametrize("task_id", TASKS)
def test_a_task_is_described_in_full(task_id):
    task = load_task(ENV_DIR, task_id)
    assert (task.id, task.env_id) == (task_id, load_env(ENV_DIR).id)
    assert task.description
    assert task.difficulty in {"easy", "medium", "hard"}
    assert task.tags


def test_splits_name_tasks_that_exist():
    splits = load_splits(ENV_DIR)
    assert sorted(splits["full"]) == splits["all"] == TASKS
    assert set(splits["quick"]) < set(splits["all"])


@pytest.mark.parametrize("preset", ["x11-lite", "ubuntu-gnome-systemd_highres"])
def test_a_preset_brings_its_dockerfile(preset, tmp_path):
    found = find_dockerfile(PRESETS[preset]["dockerfile"], tmp_path)
    assert found.is_file()
    assert "ARG BASE" in found.read_text()


def test_the_image_shares_its_first_layers_with_the_preset():
    def layers(dockerfile: Path) -> str:
        return dockerfile.read_text().partition("FROM ")[2].partition("ENV ")[0]

    preset = find_dockerfile(PRESETS["x11-lite"]["dockerfile"], None)
    assert layers(ENV_DIR / "image" / "Dockerfile") == layers(preset)
