from __future__ import annotations

import pytest

from gym_queue.benchmark.plan import plan_tasks
from gym_queue.errors import RequestInvalid, SpecInvalid, SpecNotFound


@pytest.fixture
def env_dir(folder):
    for name in ("b", "a", "c"):
        folder.add_task(name)
    folder.write("splits.json", {"some": ["c", "a", "c"], "none": []})
    return folder.path


def test_without_a_choice_every_task_is_run(env_dir):
    assert plan_tasks(env_dir) == ("a", "b", "c")


def test_a_split_keeps_its_order_and_each_task_once(env_dir):
    assert plan_tasks(env_dir, split="some") == ("c", "a")


def test_only_the_first_tasks_are_kept(env_dir):
    assert plan_tasks(env_dir, max_tasks=2) == ("a", "b")


def test_one_task(env_dir):
    assert plan_tasks(env_dir, task="b", max_tasks=1) == ("b",)


@pytest.mark.parametrize(
    ("choice", "kind", "match"),
    [
        ({"task": "aa"}, SpecNotFound, "no task 'aa'; did you mean a"),
        ({"task": "../a"}, SpecInvalid, "not the name of a folder"),
        ({"split": "most"}, SpecNotFound, "no split 'most'; its splits are all, some, none"),
        ({"split": "none"}, SpecNotFound, "no task in its split 'none'"),
        ({"task": "a", "split": "some"}, RequestInvalid, "give one of them"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(env_dir, choice, kind, match):
    with pytest.raises(kind, match=match):
        plan_tasks(env_dir, **choice)


def test_an_environment_without_tasks_has_nothing_to_run(folder):
    with pytest.raises(SpecNotFound, match="nothing to run"):
        plan_tasks(folder.path)
