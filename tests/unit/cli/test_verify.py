"""``gym-anything verify``: a task at fault is found, whichever way, and what is not its fault is told apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gym_queue.cli.main import app
from gym_queue.errors import RequestInvalid

ENV = {
    "id": "my_env",
    "runner": "local",
    "observation": [{"type": "cli_stdout"}],
    "action": [{"type": "keyboard"}],
}
SOLUTION = {
    "steps": [[{"keyboard": {"text": "echo hello > greeting\n"}}]],
    "wrong": [[{"keyboard": {"text": "echo bye > greeting\n"}}]],
}
CHECK = "env_info['exec_capture']('cat greeting 2>/dev/null').strip() == 'hello'"


@pytest.fixture
def env_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "environments/my_env"
    folder.mkdir(parents=True)
    (folder / "env.json").write_text(json.dumps(ENV))
    return folder


def add(env_dir: Path, name: str, *, passed: str = CHECK, solution: Any = SOLUTION, **task: Any) -> None:
    folder = env_dir / "tasks" / name
    folder.mkdir(parents=True)
    spec = {"id": name, "success": {"mode": "program", "spec": {"program": "verifier.py::verify"}}, **task}
    (folder / "task.json").write_text(json.dumps(spec))
    body = f"    return {{'passed': {passed}, 'score': 0, 'feedback': 'so it is'}}\n"
    (folder / "verifier.py").write_text(f"def verify(traj, env_info, task_info):\n{body}")
    if solution is not None:
        (folder / "solution.json").write_text(json.dumps(solution))


def verify(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["verify", *map(str, words)], env={"COLUMNS": "200"})


def test_a_task_whose_verifier_tells_right_from_wrong_is_ok(env_dir: Path) -> None:
    add(env_dir, "hello")
    ran = verify("task", env_dir, "--task", "hello")
    assert ran.exit_code == 0, ran.output
    assert "ok     my_env/hello" in ran.stdout
    assert "solution: passed, score 0, as it must" in ran.stdout
    assert "mistake: did not pass" in ran.stdout


def test_every_task_is_tried_and_what_is_at_fault_is_named(env_dir: Path) -> None:
    add(env_dir, "always", passed="True", solution=None)
    add(env_dir, "never", passed="False")
    add(env_dir, "raises", passed="1 / 0")
    add(env_dir, "unset", hooks={"pre_task": "exit 3"})
    add(env_dir, "unjudged", success=None)
    ran = verify("task", env_dir, "--all-tasks")
    assert ran.exit_code == 1
    text = " ".join(ran.stdout.split())
    assert "idle: passed, score 0, and must not" in text
    assert "no solution.json: nothing was tried that must pass" in text
    assert "solution: did not pass, score 0, and must" in text
    assert "ZeroDivisionError" in text
    assert "status 3" in text
    assert "the task has no verifier" in text
    assert "at fault: 5, without a solution: 1 (always, never, raises, unjudged, unset)" in text


def test_what_is_found_is_json_too(env_dir: Path) -> None:
    add(env_dir, "never", passed="False", solution={"steps": SOLUTION["steps"]})
    ran = verify("task", env_dir, "--task", "never", "--json")
    (found,) = json.loads(ran.stdout)
    assert (ran.exit_code, found["ok"], found["has_solution"]) == (1, False, True)
    assert [(play["name"], play["ok"]) for play in found["plays"]] == [("idle", True), ("solution", False)]


def test_what_is_not_the_tasks_fault_is_status_3(env_dir: Path) -> None:
    add(env_dir, "hello")
    (env_dir / "env.json").write_text(json.dumps({**ENV, "runner": "avf"}))
    ran = verify("task", env_dir, "--task", "hello")
    assert ran.exit_code == 3
    assert "idle: not judged: " in ran.stdout
    assert "avf" in ran.stdout


def test_a_broken_script_is_an_error_before_anything_runs(env_dir: Path) -> None:
    add(env_dir, "hello", solution={"steps": [[{"mose": {}}]]})
    assert "mose" in str(verify("task", env_dir, "--task", "hello").exception)


@pytest.mark.parametrize("words", [(), ("--task", "hello", "--all-tasks"), ("--all-tasks",)])
def test_one_task_is_named_or_all(env_dir: Path, words: tuple[str, ...]) -> None:
    assert type(verify("task", env_dir, *words).exception) is RequestInvalid


def test_an_unknown_task_is_not_found(env_dir: Path) -> None:
    add(env_dir, "hello")
    refused = verify("task", env_dir, "--task", "helo").exception
    assert type(refused) is RequestInvalid
    assert "did you mean hello" in str(refused)


def test_spec_checks_one_task_alone(env_dir: Path) -> None:
    add(env_dir, "hello")
    add(env_dir, "broken")
    (env_dir / "tasks/broken/verifier.py").unlink()
    assert verify("spec", env_dir).exit_code == 1
    assert verify("spec", env_dir, "--task", "hello").exit_code == 0
    assert verify("spec", env_dir, "--task", "broken").exit_code == 1
    assert type(verify("spec", env_dir, "--task", "nope").exception) is RequestInvalid


def test_a_corpus_ends_in_manifests_of_what_is_sound(env_dir: Path, tmp_path: Path) -> None:
    add(env_dir, "hello")
    add(env_dir, "hookless", hooks={"pre_task": "bash setup.sh && /nowhere/x.sh"})
    add(env_dir, "hook", hooks={"pre_task": "setup.sh"})
    files = {name: tmp_path / "out" / f"{name}.json" for name in ("status", "split", "hooks")}
    ran = verify(
        *("corpus", tmp_path / "environments", "--write-status-manifest", files["status"]),
        *("--write-verified-split", files["split"], "--write-missing-hook-manifest", files["hooks"]),
    )
    assert ran.exit_code == 1
    found = {name: json.loads(path.read_text()) for name, path in files.items()}
    assert found["status"]["total_task_records"] == 3
    assert "my_env/hello" in found["split"]["tasks"]
    assert found["split"]["task_count"] == found["status"]["verified_task_count"]
    broken = [task["task_ref"] for task in found["hooks"]["tasks"]]
    assert "my_env/hook" in broken
    assert found["status"]["failed_task_count"] == len(broken)
    assert found["hooks"]["tasks"][0]["task_spec_path"].startswith("my_env/tasks/hook")


def test_a_manifest_that_cannot_be_written_is_a_sentence(env_dir: Path) -> None:
    add(env_dir, "hello")
    ran = verify("corpus", env_dir, "--write-verified-split", "/proc/nowhere/x.json")
    assert "cannot be written" in str(ran.exception)
