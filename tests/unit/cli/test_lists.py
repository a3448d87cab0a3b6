from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gym_queue.cli.main import app


def run(*words: str) -> str:
    ran = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert ran.exit_code == 0, ran.output
    return ran.stdout


def test_every_environment_is_a_line_where_no_terminal_is() -> None:
    lines = run("list").splitlines()
    assert lines[0].split() == ["name", "runner", "tasks", "description"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["desktop_env", "docker", "6"],
        ["terminal_env", "local", "12"],
        ["vm_env", "qemu", "4"],
    ]
    assert lines[-1].endswith("no network.")


def test_verbose_names_the_tasks_of_every_environment() -> None:
    lines = run("list", "-v").splitlines()
    assert "terminal_env (12 tasks, runner local)" in lines
    assert "  largest_file" in lines
    rows = {row["name"]: row for row in json.loads(run("list", "-v", "--json"))}
    assert "largest_file" in rows["terminal_env"]["tasks"]


def test_a_corpus_of_the_working_folder_is_listed_its_broken_files_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = tmp_path / "benchmarks/cua/environments/moodle_env"
    for task in ("good", "bad"):
        (env / "tasks" / task).mkdir(parents=True)
        (env / "tasks" / task / "task.json").write_text('{"id": "good"}' if task == "good" else "{")
    (env / "env.json").write_text("{")
    monkeypatch.chdir(tmp_path)
    assert run("list").splitlines()[-1].split()[:3] == ["moodle_env", "?", "2"]
    rows = json.loads(run("list", "moodle", "--json"))
    assert [(row["task"], row["difficulty"]) for row in rows] == [("bad", "?"), ("good", "")]


def test_the_matrix_is_printed_and_json() -> None:
    assert "not in this version" in run("compatibility")
    assert json.loads(run("compatibility", "--runner", "docker", "--json"))[0]["live_recording"] is True


def test_the_doctor_counts_what_verifiers_import_and_this_machine_lacks(tmp_path: Path) -> None:
    task = tmp_path / "my_env/tasks/one"
    task.mkdir(parents=True)
    spec = {"id": "my_env", "observation": [{"type": "cli_stdout"}], "action": [{"type": "keyboard"}]}
    (tmp_path / "my_env/env.json").write_text(json.dumps(spec))
    (task / "task.json").write_text('{"id": "one", "success": {"spec": {"program": "verifier.py::verify"}}}')
    (task / "verifier.py").write_text("def verify(*_): ...\n")
    words = ("doctor", "--runner", "fake", "--verification-root", str(tmp_path))
    assert "all that they import is here" in run(*words)
    (task / "verifier.py").write_text("import no_such_module\ndef verify(*_): ...\n")
    ran = CliRunner().invoke(app, [*words, "--json"])
    assert ran.exit_code == 1
    assert json.loads(ran.stdout)["verifier_imports"] == {"no_such_module": 1}
