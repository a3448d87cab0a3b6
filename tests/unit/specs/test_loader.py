from __future__ import annotations

import json
from pathlib import Path

import pytest

from gym_queue.errors import SpecInvalid, SpecNotFound
from gym_queue.specs import loader
from tests.unit.specs.conftest import ENV, TASK, Write


def test_an_env_folder_loads(env_dir: Path) -> None:
    assert loader.load_env(env_dir).resolution == (1024, 768)
    assert loader.load_task(env_dir, "write_note").hooks.pre_task == ("bash setup_task.sh",)


def test_json_is_preferred_to_yaml(env_dir: Path, write: Write) -> None:
    write("env.yaml", {**ENV, "id": "from_yaml"})
    assert loader.load_env(env_dir).id == "notes_env@0.1"
    (env_dir / "env.json").unlink()
    assert loader.load_env(env_dir).id == "from_yaml"


def test_a_folder_without_env_file_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(SpecNotFound, match=r"no env.json, env.yaml or env.yml"):
        loader.load_env(tmp_path)


@pytest.mark.parametrize("task_id", ["../write_note", "a/b", "..", ".", "", "a\0", "..\\a", "/etc"])
def test_a_task_id_cannot_leave_the_tasks_folder(env_dir: Path, task_id: str) -> None:
    with pytest.raises(SpecInvalid, match="not the name of a folder"):
        loader.load_task(env_dir, task_id)


def test_an_unknown_task_is_not_found_and_the_nearest_is_named(env_dir: Path) -> None:
    with pytest.raises(SpecNotFound, match="did you mean write_note"):
        loader.load_task(env_dir, "write_notes")
    with pytest.raises(SpecNotFound, match="it has write_note"):
        loader.load_task(env_dir, "zzz")
    with pytest.raises(SpecNotFound, match="it has write_note"):
        loader.load_task(env_dir, "z" * 300)


def test_tasks_are_listed_sorted_and_only_with_a_task_file(env_dir: Path, write: Write) -> None:
    write("tasks/a_first/task.yml", TASK)
    write("tasks/shared/readme.txt", "")
    assert loader.list_tasks(env_dir) == ["a_first", "write_note"]


def test_the_split_all_always_exists(env_dir: Path, write: Write) -> None:
    assert loader.load_split(env_dir, "all") == ["write_note"]
    write("splits.yaml", "all: []\ntrain: [write_note]")
    assert loader.load_split(env_dir, "all") == ["write_note"]
    assert loader.load_split(env_dir, "train") == ["write_note"]


def test_an_unknown_split_is_not_found_and_the_known_are_named(env_dir: Path, write: Write) -> None:
    write("splits.json", {"train": ["write_note"]})
    with pytest.raises(SpecNotFound, match="all, train"):
        loader.load_split(env_dir, "test")


@pytest.mark.parametrize("members", ["write_note", [1], {"a": 1}, None])
def test_a_split_is_a_list_of_task_ids(env_dir: Path, write: Write, members: object) -> None:
    write("splits.json", {"train": members})
    with pytest.raises(SpecInvalid, match="train: a list of task ids"):
        loader.load_split(env_dir, "train")


def test_an_env_folder_is_found_from_the_working_folder(
    env_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(env_dir.parent)
    assert loader.resolve_env_dir("notes_env") == env_dir
    assert loader.resolve_env_dir(env_dir) == env_dir


def test_every_shipped_environment_is_found_by_name_and_loads() -> None:
    for name in loader.shipped_environments():
        assert loader.load_env(loader.resolve_env_dir(name)).id


def corpus(root: Path, *names: str) -> list[Path]:
    folders = [root / "benchmarks" / name for name in names]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "env.json").write_text(json.dumps(ENV))
    return folders


@pytest.mark.parametrize("name", ["moodle_env", "moodle"])
def test_a_corpus_of_the_working_folder_is_searched_by_short_names(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = corpus(tmp_path, "cua/environments/moodle_env", "cua/environments/zotero")
    monkeypatch.chdir(tmp_path)
    assert loader.resolve_env_dir(name) == folders[0]
    assert loader.resolve_env_dir("zotero") == folders[1]
    assert loader.corpus_environments() == folders
    assert loader.resolve_env_dir("terminal").name == "terminal_env"
    with pytest.raises(SpecNotFound, match="did you mean moodle_env"):
        loader.resolve_env_dir("moodel_env")


def test_a_name_that_two_corpora_have_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus(tmp_path, "a/environments/moodle_env", "b/environments/moodle_env")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecNotFound, match=r"benchmarks/a/environments/moodle_env and benchmarks/b"):
        loader.resolve_env_dir("moodle")


@pytest.mark.parametrize("name", ["", "no_such_env", "~nobody/env", "e" * 300, "../..", "a\0b"])
def test_an_unknown_environment_is_not_found(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecNotFound, match="the shipped environments are"):
        loader.resolve_env_dir(name)


@pytest.mark.parametrize(
    "source",
    [
        "corpus/environments/notes_env/scripts",
        "/elsewhere/notes_env/scripts",
        "scripts",
        "./scripts/../scripts",
    ],
)
def test_a_mount_is_found_below_the_env_folder(
    env_dir: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert loader.resolve_mount(env_dir, source).samefile(env_dir / "scripts")


def test_a_mount_is_looked_for_from_the_working_folder_first(
    env_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "corpus/environments/notes_env/scripts"
    corpus.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert loader.resolve_mount(env_dir, "corpus/environments/notes_env/scripts") == corpus


@pytest.mark.parametrize("source", ["", "no/such", "m" * 300, "notes_env/nothing", "/no/such"])
def test_a_missing_mount_is_an_error(env_dir: Path, source: str) -> None:
    with pytest.raises(SpecNotFound, match="does not exist; tried"):
        loader.resolve_mount(env_dir, source)
