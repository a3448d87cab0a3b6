from __future__ import annotations

import os
from pathlib import Path

import pytest

from gym_queue.specs.corpus import Corpus, validate_corpus
from gym_queue.specs.problems import Kind, Problem
from tests.unit.specs.conftest import ENV, TASK, Write

VERIFIER = "tasks/write_note/verifier.py"


def problems_of(env_dir: Path) -> tuple[Problem, ...]:
    return validate_corpus(Corpus((env_dir,))).problems


def messages(env_dir: Path) -> list[str]:
    return [problem.message for problem in problems_of(env_dir)]


def test_a_sound_env_folder_has_no_problem(env_dir: Path) -> None:
    assert problems_of(env_dir) == ()


def test_tasks_are_checked_even_when_the_env_file_is_broken(env_dir: Path, write: Write) -> None:
    env_file, task_file = write("env.json", "{"), write("tasks/write_note/task.json", "[]")
    problems = problems_of(env_dir)
    assert [problem.place for problem in problems] == [f"{env_file}:1:2", f"{task_file}:1:1"]
    assert {problem.kind for problem in problems} == {Kind.UNREADABLE}


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
    [
        "/opt/in_the_image.sh",
        "C:\\\\a\\\\b.bat",
        "cd /tmp && ./made.sh",
        "echo 'unclosed",
        "apt-get update",
        "bash /workspace/scripts/*.sh",
        "$HOME/made.sh",
        "/workspace/scripts/../scripts/setup.sh",
    ],
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
        "from json import *",
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
        ("-" * 100_000 + "1", "is not Python"),
        ("x = 1\n" * 1_000_000, "larger than 4 MiB"),
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
        {"spec": {"program": "json:loads"}},
        {"mode": "image_match"},
    ],
)
def test_a_task_that_needs_no_verifier_file(env_dir: Path, write: Write, success: object) -> None:
    write("tasks/write_note/task.json", {**TASK, "success": success})
    assert messages(env_dir) == []


def test_a_split_s_unknown_task(env_dir: Path, write: Write) -> None:
    write("splits.json", {"train": ["write_note", "gone"]})
    assert messages(env_dir) == ["train: there is no task 'gone'"]


@pytest.mark.parametrize(
    "content", [{"observation": [], "action": []}, {"base": "no-such-preset"}, {"step_cycle_ms": "soon"}]
)
def test_an_env_file_that_does_not_follow_the_format(env_dir: Path, write: Write, content: dict) -> None:
    write("env.json", {**ENV, **content, "id": ""})
    (problem,) = problems_of(env_dir)
    assert problem.kind is Kind.SPEC
    assert not problem.is_warning


def test_a_syntax_error_has_its_place(env_dir: Path, write: Write) -> None:
    path = write(VERIFIER, "def check(a):\n    return = 1\n")
    assert [problem.place for problem in problems_of(env_dir)] == [f"{path}:2:12"]


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("import no_such_module", ":1:1"),
        ("import json, no_such_module.part as part", ":1:1"),
        ("from no_such_module import a, b", ":1:1"),
        ("import json; import no_such_module", ":1:14"),
        ("def check():\n  from no_such_module import (\n    a,\n  )", ":2:3"),
        ("try:\n  import no_such_module\nexcept OSError: pass", ":2:3"),
        ("try:\n  import no_other_module\nexcept ImportError:\n  import no_such_module", ":4:3"),
        ("if 1:\n  match 1:\n    case 1:\n      import no_such_module", ":4:7"),
        ("import pydantic.no_such_module", ":1:1"),
    ],
)
def test_an_import_that_this_machine_lacks_is_a_warning(
    env_dir: Path, write: Write, source: str, place: str
) -> None:
    path = write(VERIFIER, f"{source}\ncheck = 1\n")
    (problem,) = problems_of(env_dir)
    assert (problem.kind, problem.is_warning, problem.place) == (Kind.IMPORT, True, f"{path}{place}")
    assert "no_such_module" in problem.message


@pytest.mark.parametrize(
    "source",
    [
        "import os.path, xml.etree.ElementTree as ET",
        "import pydantic.fields",
        "from pydantic import no_such_name",
        "try:\n  import no_such_module\nexcept (ValueError, ImportError): pass",
        "try:\n  import no_such_module\nexcept: pass",
        "try:\n  import json\nexcept ImportError:\n  import no_such_module",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n  import no_such_module",
        '"""\nfrom no_such_module import a\nimport no_such_module\n"""',
        "# import no_such_module",
        "import beside",
        "from above.part import a",
        "import sys\nsys.path.insert(0, '../../utils')\nimport shared",
    ],
)
def test_an_import_that_works_or_may_work_is_none(env_dir: Path, write: Write, source: str) -> None:
    write("tasks/write_note/beside.py", "")
    write("above/part.py", "")
    write("utils/shared.py", "")
    write(VERIFIER, f"{source}\ncheck = 1\n")
    assert messages(env_dir) == []


def test_a_module_elsewhere_in_the_env_folder_is_not_found_by_itself(env_dir: Path, write: Write) -> None:
    write("utils/shared.py", "")
    write(VERIFIER, "import shared\ncheck = 1\n")
    assert messages(env_dir) == ["imports shared, which this machine lacks"]


def test_a_relative_import_in_a_verifier_s_file_is_an_error(env_dir: Path, write: Write) -> None:
    write(VERIFIER, "from . import beside\ncheck = 1\n")
    assert [problem.kind for problem in problems_of(env_dir)] == [Kind.VERIFIER]


def test_a_verifier_s_module_that_this_machine_lacks(env_dir: Path, write: Write) -> None:
    write("tasks/write_note/task.json", {**TASK, "success": {"spec": {"program": "no_such.module:check"}}})
    assert [problem.kind for problem in problems_of(env_dir)] == [Kind.IMPORT]


def test_checking_imports_imports_nothing(env_dir: Path, write: Write) -> None:
    write("tasks/write_note/beside.py", "raise RuntimeError")
    write(VERIFIER, "import beside\nraise RuntimeError\ncheck = 1\n")
    assert messages(env_dir) == []


def test_ids_that_are_not_the_folder_s_or_stand_twice_are_warnings(env_dir: Path, write: Write) -> None:
    write("tasks/other/task.json", {**TASK, "success": None, "hooks": {}})
    problems = problems_of(env_dir)
    assert [(problem.task, problem.kind) for problem in problems] == [
        ("other", Kind.ID),
        ("write_note", Kind.ID),
    ]
    assert "'write_note@1' is not the folder's name" in problems[0].message
    assert "is also that of" in problems[1].message


def test_what_is_wrong_is_told_on_one_printable_line(env_dir: Path, write: Write) -> None:
    write("tasks/write_note/task.json", {**TASK, "env_id": "a\x1b[31m\n\ud800"})
    (message,) = messages(env_dir)
    assert message.isprintable()


def test_a_pipe_in_the_verifier_s_place_is_not_waited_for(env_dir: Path) -> None:
    (env_dir / VERIFIER).unlink()
    os.mkfifo(env_dir / VERIFIER)
    assert len(messages(env_dir)) == 1
