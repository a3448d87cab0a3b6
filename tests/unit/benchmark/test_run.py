"""Whole runs, on real environments of this process."""

from __future__ import annotations

import json
import os
import socket
import threading

import pytest

from gym_queue.benchmark.attempt import STEP_LIMIT, Outcome
from gym_queue.benchmark.results import Results, Tally, exit_code
from gym_queue.errors import ConnectionFailed, RequestInvalid
from gym_queue.runners.processes import find_processes

from .conftest import Bench, Folder


def meet_by_two(server: socket.socket, total: int) -> None:
    """Let callers go on in pairs, when both have come."""
    for _ in range(total // 2):
        for waiting in [server.accept()[0] for _ in range(2)]:
            waiting.close()


def outcomes(results: Results) -> dict[str, str]:
    return {attempt.task_id: attempt.outcome.value for attempt in results.attempts}


def error_of(results: Results) -> str:
    (attempt,) = results.attempts
    assert (attempt.outcome, attempt.score, attempt.reward) == (Outcome.ERROR, None, None)
    assert attempt.error
    return f"{attempt.error.code}: {attempt.error.message}"


def test_a_solution_passes_and_a_wrong_one_fails_in_a_real_terminal(bench: Bench, terminal: Folder):
    results = bench(terminal, parallel=2)
    assert outcomes(results) == {"right": "passed", "wrong": "failed"}
    right, wrong = results.attempts
    assert (right.score, right.reward, right.steps, right.reason) == (100, 1, 2, "Agent Completed")
    assert (wrong.score, wrong.reward, wrong.feedback) == (25, 0, "the answer is 41")
    assert results.tally == Tally(passed=1, failed=1, errors=0, mean_score=62.5)
    assert right.env_id
    assert not find_processes(right.env_id)


def test_exit_code_is_0_only_when_all_passed(bench: Bench, pair: Folder):
    assert exit_code(bench(pair, task="right")) == 0
    assert exit_code(bench(pair)) == 1


def test_the_wrong_script_and_the_idle_one_do_not_pass(bench: Bench, terminal: Folder):
    for script in ("wrong", "idle"):
        assert outcomes(bench(terminal, task="right", agent_args={"script": script})) == {"right": "failed"}


def test_a_task_without_a_script_is_an_error_not_a_score(bench: Bench, folder: Folder):
    folder.add_task("bare")
    assert error_of(bench(folder)).startswith("spec_not_found: the task bare has no script")


def test_an_agent_that_raises_is_an_error_and_the_other_tasks_go_on(bench, terminal, plugins):
    results = bench(terminal, "raising", max_tasks=1)
    assert error_of(results).startswith(
        "agent_failed: the agent raised ZeroDivisionError in its act at step 1"
    )
    assert results.attempts[0].steps == 1
    assert outcomes(bench(terminal, "raising")) == {"right": "error", "wrong": "error"}


def test_an_agent_that_exits_ends_its_attempt_alone(bench, folder, plugins):
    folder.add_task("a")
    assert "agent raised SystemExit in its start" in error_of(bench(folder, "exiting"))


def test_an_agent_that_never_finishes_is_judged_at_the_step_limit(bench, folder, plugins):
    folder.add_task("a")
    (attempt,) = bench(folder, "plain", steps=4).attempts
    assert (attempt.outcome, attempt.steps, attempt.reason) == (Outcome.FAILED, 4, STEP_LIMIT)


def test_an_agent_that_never_finishes_is_judged_at_the_tasks_own_limit(bench, folder, plugins):
    folder.add_task("a", init={"max_steps": 3})
    (attempt,) = bench(folder, "plain").attempts
    assert (attempt.outcome, attempt.steps, attempt.reason) == (Outcome.FAILED, 3, "max_steps")


def test_a_failed_hook_is_an_error_with_its_code(bench, folder):
    folder.add_task("a", solution={"steps": []}, hooks={"pre_task": "echo broken; exit 7"})
    said = error_of(bench(folder))
    assert said.startswith("hook_failed: the hook pre_task exited with status 7")
    assert "broken" in said


def test_an_invalid_action_is_an_error_with_its_code(bench, terminal):
    off = {"steps": [[{"mouse": {"left_click": [9999, 0]}}]]}
    assert error_of(
        bench(terminal, task="right", agent_args={"script": str(terminal.write("off.json", off))})
    ) == ("action_invalid: mouse: the point (9999, 0) is off the screen of 320 x 200 pixels")


def test_a_task_that_nothing_judges_is_an_error(bench, folder):
    folder.add_task("a", solution={"steps": []}, success=None)
    assert error_of(bench(folder)).startswith("verifier_failed: the task a was not judged")


def test_a_task_file_that_cannot_be_read_does_not_stop_the_others(bench, folder):
    folder.add_task("a", solution={"steps": []})
    folder.write("tasks/b/task.json", "{")
    results = bench(folder)
    assert outcomes(results) == {"a": "failed", "b": "error"}
    assert results.attempts[1].error.code == "spec_invalid"


def test_attempts_run_at_once_and_results_come_in_task_order(bench, folder, plugins):
    for name in ("d", "c", "b", "a"):
        folder.add_task(name)
    folder.write("splits.json", {"mine": ["c", "a", "d", "b"]})
    with socket.create_server(("127.0.0.1", 0)) as server:
        meeting = threading.Thread(target=meet_by_two, args=(server, 4))
        meeting.start()
        port = server.getsockname()[1]
        results = bench(folder, "meeting", split="mine", parallel=2, agent_args={"port": port})
        meeting.join()
    assert list(outcomes(results)) == ["c", "a", "d", "b"]
    assert results.tally.errors == 0


def test_the_same_seed_reaches_every_environment(bench, folder):
    folder.add_task(
        "a",
        solution={"steps": []},
        metadata={"answer": "7"},
        hooks={"pre_task": "echo $GYM_SEED > answer.txt"},
    )
    assert outcomes(bench(folder, seed=7)) == {"a": "passed"}
    assert outcomes(bench(folder, seed=8)) == {"a": "failed"}


def test_results_are_saved_whole_and_read_back(bench, pair, tmp_path):
    results = bench(pair, output=tmp_path / "out")
    path = tmp_path / "out" / "results.json"
    content = json.loads(path.read_text())
    counts = {"passed": 1, "failed": 1, "errors": 0, "lost_tries": 0}
    assert content["tally"] == {**counts, "mean_score": 62.5}
    assert content["config"]["agent_args"] == {"script": "steps"}
    assert [attempt["outcome"] for attempt in content["attempts"]] == ["passed", "failed"]
    assert Results.model_validate_json(path.read_text()) == results
    assert not list(path.parent.glob(".*"))


def test_an_output_with_a_json_name_is_the_file_itself(bench, folder, tmp_path):
    folder.add_task("a", solution={"steps": []})
    bench(folder, output=tmp_path / "deep" / "mine.json")
    assert json.loads((tmp_path / "deep" / "mine.json").read_text())["tasks"] == ["a"]


def test_an_output_that_cannot_be_written_is_refused_before_anything_runs(bench, folder, tmp_path):
    folder.add_task("a", solution={"steps": []})
    (tmp_path / "file").touch()
    with pytest.raises(RequestInvalid, match=r"cannot be written: .*give another --output"):
        bench(folder, output=tmp_path / "file" / "below")
    assert not bench.progress.getvalue()


def test_an_interrupt_closes_what_is_open_and_keeps_what_is_known(bench, terminal, plugins, tmp_path):
    hooks = {"pre_task": "nohup sleep 300 >/dev/null 2>&1 &"}
    terminal.add_task("later", hooks=hooks)
    for name in ("right", "wrong"):
        terminal.add_task(name, hooks=hooks)
    with pytest.raises(KeyboardInterrupt):
        bench(
            terminal,
            "interrupting",
            parallel=2,
            agent_args={"pid": os.getpid()},
            output=tmp_path / "r.json",
        )
    results = Results.model_validate_json((tmp_path / "r.json").read_text())
    assert results.is_interrupted
    assert exit_code(results) == 1
    codes = {attempt.error.code for attempt in results.attempts if attempt.error}
    assert codes == {"cancelled"}
    opened = [attempt.env_id for attempt in results.attempts if attempt.env_id]
    assert opened
    assert not any(find_processes(env_id) for env_id in opened)
    assert "interrupted" in bench.printed.getvalue()


def test_the_note_of_a_turn_is_kept_with_its_step(bench, folder, plugins):
    verifier = (
        "def verify(traj, env_info, task_info):\n"
        "    notes = [step['metadata']['note'] for step in traj['steps']]\n"
        "    return {'passed': notes == ['turn 0', 'turn 1'], 'feedback': str(notes)}\n"
    )
    folder.add_task("a")
    folder.write("tasks/a/verifier.py", verifier)
    (attempt,) = bench(folder, "plain", steps=2).attempts
    assert attempt.outcome is Outcome.PASSED, attempt.feedback


def test_a_random_agent_plays_to_its_end(bench, terminal):
    (attempt,) = bench(
        terminal, "RandomAgent", task="right", agent_args={"steps": "4", "actions": "2"}
    ).attempts
    assert (attempt.outcome, attempt.steps) == (Outcome.FAILED, 4)


def test_a_remote_run_that_reaches_nobody_is_refused_before_any_attempt(bench, folder):
    folder.add_task("a", solution={"steps": []})
    with socket.socket() as taken:  # bound and not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionFailed, match="cannot connect"):
            bench(folder, remote_url=url, remote_timeout_s=1)
