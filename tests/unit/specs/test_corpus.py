from __future__ import annotations

import json
from pathlib import Path

import pytest

from gym_queue.errors import RequestInvalid
from gym_queue.specs import corpus as corpus_module
from gym_queue.specs.corpus import find_corpus, validate_corpus
from gym_queue.specs.problems import Kind
from tests.unit.specs.conftest import ENV, TASK


def make_env(root: Path, name: str, tasks: int) -> Path:
    folder = root / "benchmarks/public/environments" / name
    folder.mkdir(parents=True)
    (folder / "env.json").write_text(json.dumps({**ENV, "id": f"{name}@1", "mounts": [], "hooks": {}}))
    for number in range(tasks):
        task = folder / f"tasks/task_{number:03}"
        task.mkdir(parents=True)
        task_spec = {**TASK, "id": f"{task.name}@1", "env_id": f"{name}@1", "hooks": {}, "success": None}
        (task / "task.json").write_text(json.dumps(task_spec))
    return folder


def test_env_folders_are_found_at_any_depth_and_not_inside_one_another(tmp_path: Path) -> None:
    first, second = make_env(tmp_path, "a_env", 1), make_env(tmp_path, "b_env", 0)
    make_env(first / "data", "inner", 1)
    make_env(tmp_path / ".cache", "hidden", 1)
    assert find_corpus(tmp_path).env_dirs == (first, second)
    assert find_corpus(first).env_dirs == (first,)


def test_a_folder_without_environments_is_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(RequestInvalid, match="it is no corpus"):
        find_corpus(tmp_path)
    with pytest.raises(RequestInvalid, match="not a folder"):
        find_corpus(tmp_path / "none")


def test_a_loop_of_links_is_not_followed(tmp_path: Path) -> None:
    folder = make_env(tmp_path, "a_env", 0)
    (folder.parent / "loop").symlink_to(tmp_path)
    assert len(find_corpus(tmp_path).env_dirs) == 1


def test_every_task_is_checked_and_progress_reaches_their_number(tmp_path: Path) -> None:
    make_env(tmp_path, "a_env", 130)
    make_env(tmp_path, "b_env", 3)
    seen: list[tuple[int, int]] = []
    report = validate_corpus(find_corpus(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert (report.envs, report.tasks, report.problems) == (2, 133, ())
    assert seen[-1] == (133, 133)
    assert len(seen) > 2  # a large environment is done in parts


def test_processes_find_what_one_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_env(tmp_path, "a_env", 150)
    (folder / "tasks/task_140/task.json").write_text('{\n "id": "x"\n "b": 1}')
    (folder / "tasks/task_007/task.json").write_text(json.dumps({**TASK, "id": "task_149@1"}))
    corpus = find_corpus(tmp_path)
    alone = validate_corpus(corpus, jobs=1)
    monkeypatch.setattr(corpus_module, "ALONE_TASKS", 0)
    assert validate_corpus(corpus, jobs=2) == alone
    assert [problem.place for problem in alone.problems if problem.kind is Kind.UNREADABLE] == [
        f"{folder}/tasks/task_140/task.json:3:2"
    ]
    assert any("is also that of" in problem.message for problem in alone.problems)


def test_two_environments_of_one_id_are_told(tmp_path: Path) -> None:
    make_env(tmp_path / "one", "a_env", 0)
    make_env(tmp_path / "two", "a_env", 0)
    (problem,) = validate_corpus(find_corpus(tmp_path)).problems
    assert problem.kind is Kind.ID


@pytest.mark.parametrize(
    ("split", "messages"),
    [
        ({"env_folder": "benchmarks/public/environments/a_env", "train_tasks": ["task_000"]}, []),
        (
            {"env_folder": "x/a_env", "train_tasks": ["gone", 7], "train_ratio": 1.0},
            ["train_tasks: a_env has no task 'gone'", "train_tasks: a_env has no task '7'"],
        ),
        ({"env_folder": "x/b_env"}, ["env_folder: there is no environment 'b_env' here"]),
        ({"train": ["anything"]}, []),
        ([], ["the file holds list, where an object belongs"]),
    ],
)
def test_split_files_of_a_corpus_are_held_against_its_environments(
    tmp_path: Path, split: object, messages: list[str]
) -> None:
    make_env(tmp_path, "a_env", 1)
    path = tmp_path / "benchmarks/public/splits/a_split.json"
    path.parent.mkdir()
    path.write_text(json.dumps(split))
    report = validate_corpus(find_corpus(tmp_path))
    assert [problem.message for problem in report.problems] == messages
    assert all(problem.path == path for problem in report.problems)


def test_a_task_folder_without_a_task_file_is_passed_over(tmp_path: Path) -> None:
    folder = make_env(tmp_path, "a_env", 1)
    (folder / "tasks/shared").mkdir()
    assert validate_corpus(find_corpus(tmp_path)).tasks == 1
