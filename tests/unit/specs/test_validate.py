from __future__ import annotations

from pathlib import Path

import pytest

from gym_queue.errors import SpecNotFound
from gym_queue.specs.validate import validate_env
from tests.unit.specs.conftest import ENV, TASK, Write

VERIFIER = "tasks/write_note/verifier.py"


def messages(env_dir: Path) -> list[str]:
    return [problem.message for problem in validate_env(env_dir)]


def test_a_sound_env_folder_has_no_problem(env_dir: Path) -> None:
    assert validate_env(env_dir) == []


def test_a_folder_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpecNotFound):
        validate_env(tmp_path / "none")


def test_tasks_are_checked_even_when_the_env_file_is_broken(env_dir: Path, write: Write) -> None:
    env_file, task_file = write("env.json", "{"), write("tasks/write_note/task.json", "[]")
    problems = validate_env(env_dir)
    assert [problem.path for problem in problems] == [env_file, task_file]
    assert problems[0].message.startswith("1:2: ")


def test_a_missing_mount_and_the_scripts_in_it(env_dir: Path, write: Write) -> None:
    write("env.json", {**ENV, "mounts": [{"source": "gone", "target": "/gone"}]})
    assert [text.split(" ")[0] for text in messages(env_dir)] == ["mounts.0:"]


@pytest.mark.parametrize(
    "command", ["/workspace/scripts/no.sh", "bash -e /workspace/scripts/no.sh 2>&1", "./no.sh"]
)
def test_a_hook_s_missing_script(env_dir: Path, write: Write, command: str) -> None:
    write("env.json", {**ENV, "hooks": {"pre_start": [command]}})
    assert [text.split(":")[0] for text in messages(env_dir)] == ["hooks.pre_start"]


@pytest.mark.parametrize(
    "command",
    ["/opt/in_the_image.sh", "C:\\\\a\\\\b.bat", "cd /tmp && ./made.sh", "echo 'unclosed", "apt-get update"],
)
def test_a_command_that_cannot_be_judged_is_passed_over(env_dir: Path, write: Write, command: str) -> None:
    write("env.json", {**ENV, "reset_script": command})
    assert messages(env_dir) == []


def test_a_task_of_another_environment(env_dir: Path, write: Write) -> None:
    write("tasks/write_note/task.json", {**TASK, "env_id": "other@0.1"})
    assert messages(env_dir) == ["env_id: 'other@0.1' is not this environment, 'notes_env@0.1'"]


@pytest.mark.parametrize(
    "source",
    [
        "check = print",
        "from json import loads as check",
        "try:\n  def check(): ...\nfinally: pass",
        "from a import *",
        "async def check(): ...",
        "check: int = 1",
        "if 1:\n  pass\nelse:\n  def check(): '\\d'",
    ],
)
def test_a_verifier_s_function_may_be_defined_in_many_ways(env_dir: Path, write: Write, source: str) -> None:
    write(VERIFIER, source)
    assert messages(env_dir) == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def other(): ...", "does not define check"),
        ("def check(:", "is not Python"),
        (b"\xff\xfe\x00", "is not Python"),
        ("(" * 5000, "is not Python"),
    ],
)
def test_a_verifier_that_cannot_work(env_dir: Path, write: Write, source: object, reason: str) -> None:
    write(VERIFIER, source)
    (message,) = messages(env_dir)
    assert reason in message
    assert "\n" not in message


def test_a_verifier_that_is_not_there(env_dir: Path) -> None:
    (env_dir / VERIFIER).unlink()
    (message,) = messages(env_dir)
    assert message.endswith("verifier.py does not exist")


@pytest.mark.parametrize("program", [None, "verifier.py", 7])
def test_a_program_that_names_no_function(env_dir: Path, write: Write, program: object) -> None:
    write(
        "tasks/write_note/task.json", {**TASK, "success": {"mode": "program", "spec": {"program": program}}}
    )
    (message,) = messages(env_dir)
    assert "is not 'file.py::function'" in message


@pytest.mark.parametrize(
    "success",
    [
        None,
        {"mode": "multi", "spec": {}},
        {"spec": {"program": "package.module:check"}},
        {"mode": "image_match"},
    ],
)
def test_a_task_that_needs_no_verifier_file(env_dir: Path, write: Write, success: object) -> None:
    write("tasks/write_note/task.json", {**TASK, "success": success})
    assert messages(env_dir) == []


def test_a_split_s_unknown_task(env_dir: Path, write: Write) -> None:
    write("splits.json", {"train": ["write_note", "gone"]})
    assert messages(env_dir) == ["train: there is no task 'gone'"]
