"""Which environments and tasks a run is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gym_queue.benchmark.attempt import Key
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.plan import PlannedEnv, find_envs, keys_of, plan_run
from gym_queue.errors import RequestInvalid, SpecInvalid, SpecNotFound

from .conftest import Folder


def plan(env: object, **choice: object) -> tuple[PlannedEnv, ...]:
    return plan_run(BenchmarkConfig(env=str(env), agent="ScriptedAgent", **choice))


def tasks(env: object, **choice: object) -> tuple[str, ...]:
    (planned,) = plan(env, **choice)
    return planned.tasks


@pytest.fixture
def env_dir(folder):
    for name in ("b", "a", "c"):
        folder.add_task(name)
    folder.write("splits.json", {"some": ["c", "a", "c"], "none": []})
    return folder.path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a corpus as Gym-Anything lays one out: paint_env has splits beside ``environments``, write_env its own."""
    root = tmp_path / "benchmarks" / "cua"
    paint = Folder(root / "environments" / "paint_env", id="paint@1")
    write = Folder(root / "environments" / "write_env", id="write@2", version="2.0")
    for name in ("a", "b", "c"):
        paint.add_task(name)
    for name in ("a", "z"):
        write.add_task(name)
    write.write("splits.json", {"train": ["z"]})
    split = {
        "env_folder": "benchmarks/cua/environments/paint_env",
        "all_tasks": ["a", "b"],
        "train_tasks": ["b", "a"],
        "test_tasks": ["c"],
        "train_ratio": 0.66,
    }
    (root / "splits").mkdir()
    (root / "splits" / "paint_split.json").write_text(json.dumps(split))
    return root


def test_without_a_choice_every_task_is_run(env_dir):
    assert tasks(env_dir) == ("a", "b", "c")


def test_a_split_keeps_its_order_and_each_task_once(env_dir):
    assert tasks(env_dir, split="some") == ("c", "a")


def test_only_the_first_tasks_are_kept(env_dir):
    assert tasks(env_dir, max_tasks=2) == ("a", "b")


def test_one_task(env_dir):
    assert tasks(env_dir, task="b", max_tasks=1) == ("b",)


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
        plan(env_dir, **choice)


def test_an_environment_without_tasks_has_nothing_to_run(folder):
    with pytest.raises(SpecNotFound, match="nothing to run"):
        plan(folder.path)


def test_all_is_every_environment_that_ships():
    assert [each.name for each in plan("all", split="quick")] == ["desktop_env", "terminal_env", "vm_env"]


@pytest.mark.parametrize("where", [".", "environments"])
def test_the_folder_of_many_environments_is_all_of_them(corpus, where):
    planned = plan(corpus / where)
    assert [(each.name, each.tasks) for each in planned] == [
        ("paint_env", ("a", "b", "c")),
        ("write_env", ("a", "z")),
    ]
    assert keys_of(planned[1:], 2)[1:3] == [Key("write_env", "a", 1), Key("write_env", "z", 0)]


def test_a_split_is_the_environments_own_or_its_corpus(corpus):
    found = {each.name: each.tasks for each in plan("all", corpus=corpus, split="train")}
    assert found == {"paint_env": ("b", "a"), "write_env": ("z",)}
    assert tasks("paint", corpus=corpus, split="all") == ("a", "b", "c")


def test_environments_without_the_task_or_split_are_left_out_and_named(corpus, caplog):
    assert [each.name for each in plan(corpus, split="test")] == ["paint_env"]
    assert "left out, as they have no such task: write_env" in caplog.text
    assert [each.name for each in plan(corpus, task="z")] == ["write_env"]
    with pytest.raises(
        SpecNotFound, match=r"none of 2 environments has such a task; the first: .*no split 'odd'"
    ):
        plan(corpus, split="odd")


def test_most_tasks_is_over_all_environments(corpus):
    assert [each.tasks for each in plan(corpus, max_tasks=4)] == [("a", "b", "c"), ("a",)]


def test_an_environment_of_a_corpus_goes_by_its_short_name(corpus):
    assert [each.name for each in find_envs("write", corpus)] == ["write_env"]
    with pytest.raises(SpecNotFound, match=r"no environment 'wrote_env'; did you mean write_env\?"):
        find_envs("wrote_env", corpus)


def test_a_folder_without_environments_and_two_of_one_name_are_refused(corpus, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(RequestInvalid, match="it is no corpus"):
        plan(tmp_path / "empty")
    Folder(tmp_path / "benchmarks" / "other" / "paint_env").add_task("a")
    with pytest.raises(RequestInvalid, match="two environments are named paint_env"):
        plan(tmp_path / "benchmarks")


def test_a_split_file_that_cannot_be_read_is_named(corpus):
    (corpus / "splits" / "broken.json").write_text("{")
    with pytest.raises(SpecInvalid, match=r"broken\.json"):
        plan("paint", corpus=corpus, split="train")
