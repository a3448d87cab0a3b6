from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gym_queue.cli.main import app
from gym_queue.errors import RequestInvalid
from gym_queue.specs.loader import shipped_environments


def validate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["validate", *map(str, arguments)])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """One environment with a task that cannot be read, and one whose verifier lacks a module."""
    env = tmp_path / "environments/notes_env"
    env.mkdir(parents=True)
    spec = {"id": "notes_env", "observation": [{"type": "cli_stdout"}], "action": [{"type": "keyboard"}]}
    (env / "env.json").write_text(json.dumps(spec))
    broken, lacking = env / "tasks/broken", env / "tasks/lacking"
    broken.mkdir(parents=True)
    lacking.mkdir()
    (broken / "task.json").write_text('{\n "id": "broken"\n "a": 1}')
    (lacking / "task.json").write_text(
        '{"id": "lacking", "success": {"spec": {"program": "verifier.py::check"}}}'
    )
    (lacking / "verifier.py").write_text("import no_such_module\n\ndef check(): ...\n")
    return tmp_path


def test_problems_are_lines_that_name_file_line_and_column(corpus: Path) -> None:
    ran = validate("--corpus", corpus)
    lines = ran.stdout.splitlines()
    assert ran.exit_code == 1
    assert lines[0].endswith("/tasks/broken/task.json:3:2: error: Expecting ',' delimiter [unreadable]")
    assert lines[1].endswith(
        "/verifier.py:1:1: warning: imports no_such_module, which this machine lacks [import]"
    )
    assert "environments: 1, tasks: 2, problems: 1, warnings: 1" in lines[-1]


def test_a_limit_hides_the_rest_and_says_so(corpus: Path) -> None:
    shown = validate("--corpus", corpus, "--limit", "1").stdout
    assert "and 1 more: --limit 0 prints all" in shown
    assert "verifier.py:1:1" not in shown
    assert "verifier.py:1:1" in validate("--corpus", corpus, "--limit", "0").stdout


def test_warnings_alone_fail_only_when_that_is_asked(corpus: Path) -> None:
    (corpus / "environments/notes_env/tasks/broken/task.json").write_text('{"id": "broken"}')
    assert validate("--corpus", corpus).exit_code == 0
    assert validate("--corpus", corpus, "--strict").exit_code == 1


def test_json_holds_every_problem(corpus: Path) -> None:
    report = json.loads(validate(corpus / "environments/notes_env", "--json").stdout)
    assert (report["envs"], report["tasks"]) == (1, 2)
    assert report["counts"] == {"unreadable": 1, "import": 1}
    first = report["problems"][0]
    assert (first["env"], first["task"], first["line"], first["column"]) == ("notes_env", "broken", 3, 2)


@pytest.mark.parametrize(
    "arguments",
    [(), ("terminal_env", "--corpus", "."), ("no_such_env",), ("--corpus", "no/such/folder")],
)
def test_wrong_arguments_are_refused_as_such(arguments: tuple[str, ...]) -> None:
    ran = validate(*arguments)
    assert type(ran.exception) is RequestInvalid  # the program's exit status 2


@pytest.mark.parametrize("arguments", [("--limit", "-1"), ("--jobs", "0")])
def test_numbers_out_of_range_are_usage_errors(arguments: tuple[str, ...]) -> None:
    assert validate("terminal_env", *arguments).exit_code == 2


def test_every_shipped_environment_is_sound() -> None:
    assert "vm_env" in shipped_environments()
    for name in shipped_environments():
        assert validate(name, "--strict").exit_code == 0
