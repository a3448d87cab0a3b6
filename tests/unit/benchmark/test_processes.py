"""Attempts in processes of their own: what agents do to them harms no one else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import psutil
import pytest

from gym_queue.benchmark.attempt import Outcome
from gym_queue.benchmark.output import read_attempts
from gym_queue.errors import ModelDenied, OutputFailed

from .agents import NONSENSE


def errors(results) -> dict[str, str]:
    return {
        each.task_id: f"{each.error.code}: {each.error.message}" if each.error else each.outcome.value
        for each in results.attempts
    }


def test_an_agent_that_ends_its_process_fails_its_attempt_alone(bench, pair, plugins):
    found = errors(bench(pair, "leaving"))
    assert set(found) == {"right", "wrong"}
    assert set(found.values()) == {
        "agent_failed: the agent ended its process with status 3 in its act at step 0"
    }


def test_an_agent_that_crashes_its_process_is_a_failure_of_its_own(bench, folder, plugins):
    folder.add_task("a")
    (attempt,) = bench(folder, "crashing").attempts
    assert attempt.error.message == "the agent crashed its process (SIGSEGV) in its act at step 0"
    assert attempt.is_scored


def test_a_process_that_is_killed_from_outside_loses_a_try_and_leaves_nothing(bench, pair, plugins, tmp_path):
    mark = tmp_path / "mark"
    (attempt,) = bench(
        pair, "killed", task="right", agent_args={"mark": str(mark)}, output=tmp_path / "r"
    ).attempts
    assert attempt.outcome is Outcome.PASSED
    assert [each.code for each in attempt.lost] == ["env_lost"]
    assert "was killed (SIGKILL)" in attempt.lost[0].message
    assert not any(psutil.pid_exists(int(pid)) for pid in mark.read_text().split())
    kept = json.loads((tmp_path / "r/attempts/small/right/0/verdict.json").read_text())
    assert kept["outcome"] == "passed"


def test_an_agent_that_hangs_is_ended_and_the_run_goes_on(bench, pair, plugins):
    found = errors(bench(pair, "hanging", agent_timeout_s=1.0))
    assert found["right"].startswith("agent_timeout: the agent took longer than 1 s in its act at step 0")
    assert found["wrong"] == "failed"


def test_what_an_agent_prints_is_in_its_log_and_its_key_is_nowhere(bench, pair, plugins, tmp_path):
    (attempt,) = bench(
        pair, "printing", task="right", agent_args={"key": "s3cret"}, output=tmp_path / "r"
    ).attempts
    log = (tmp_path / "r/attempts/small/right/0/agent.log").read_text()
    assert sorted(log.splitlines()) == sorted(
        [f"located {attempt.env_id} None", "hello", "oh no", "raw", "key True"]
    )
    files = [path for path in (tmp_path / "r").rglob("*") if path.is_file()]
    assert not [path for path in files if b"s3cret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("answer", "code", "match"),
    [
        ("None", "agent_failed", "in its act at step 0: None is no AgentTurn"),
        ("a text", "agent_failed", "'click' is no AgentTurn"),
        ("a text for actions", "agent_failed", "its actions are 'click', no list"),
        ("an action that is none", "agent_failed", "its actions hold 7, which is no dict"),
        ("no boolean", "agent_failed", "done is 'yes'"),
        ("no number", "action_invalid", "cannot be written as JSON: Out of range float"),
        ("no JSON", "action_invalid", "a object has no place in it"),
    ],
)
def test_an_agent_that_answers_nonsense_fails_in_one_sentence(bench, folder, plugins, answer, code, match):
    folder.add_task("a")
    (attempt,) = bench(folder, "nonsense", agent_args={"answer": answer}).attempts
    assert (attempt.error.code, attempt.is_scored) == (code, True)
    assert match in attempt.error.message
    assert answer in NONSENSE


def test_a_refused_turn_is_recorded_with_what_was_asked(bench, pair, plugins, tmp_path):
    asked = {"answer": "no number"}
    (attempt,) = bench(pair, "corrected", task="right", agent_args=asked, output=tmp_path / "r").attempts
    assert (attempt.outcome, attempt.refused, attempt.steps) == (Outcome.PASSED, 1, 2)
    lines = (tmp_path / "r/attempts/small/right/0/trajectory.jsonl").read_text().splitlines()
    _, refused, done = map(json.loads, lines)
    assert list(refused["actions"][0]) == ["mouse"]
    assert refused["refused"].startswith("the actions cannot be written as JSON")
    assert "refused" not in done
    assert json.loads((tmp_path / "r/report.json").read_text())["sums"]["refused"] == 1


def test_a_key_that_is_denied_in_the_middle_stops_the_run_which_can_be_resumed(
    bench, pair, plugins, tmp_path
):
    with pytest.raises(ModelDenied, match="used up"):
        bench(pair, "denied", agent_args={"answer": "wrong"}, output=tmp_path / "r")
    assert [key.task_id for key in read_attempts(tmp_path / "r")] == ["right"]
    assert "1 attempts are kept, 1 are missing" in bench.printed.getvalue()


def test_what_a_loop_cannot_write_stops_the_run_which_can_be_resumed(bench, pair, tmp_path):
    (tmp_path / "r/attempts").mkdir(parents=True)
    (tmp_path / "r/attempts/small").touch()  # where a folder belongs
    with pytest.raises(OutputFailed, match=r"attempts/small/right/0 cannot be written: .*--resume"):
        bench(pair, task="right", output=tmp_path / "r")
    (tmp_path / "r/attempts/small").unlink()
    assert bench(pair, task="right", output=tmp_path / "r", resume=True).tally.passed == 1


def test_loops_end_by_themselves_when_their_run_is_killed(terminal, plugins, tmp_path):
    """And close what they have open: nothing of an environment is left, in no folder either."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    terminal.add_task("right", hooks={"pre_task": "nohup sleep 300 >/dev/null 2>&1 &"})
    with socket.create_server(("127.0.0.1", 0)) as server:
        options = {"port": server.getsockname()[1]}
        fields = {"env": str(terminal.path), "agent": "meeting", "task": "right", "agent_args": options}
        command = [sys.executable, "-c", ALONE.format(path=sys.path, fields=fields)]
        with subprocess.Popen(command, env={**os.environ, "TMPDIR": str(scratch)}) as run:
            at_work, _ = server.accept()
            below = psutil.Process(run.pid).children(recursive=True)
            names = [process.info["name"] for process in psutil.process_iter(["name"]) if process in below]
            run.kill()
    assert "sleep" in names
    _, alive = psutil.wait_procs(below, timeout=30)
    assert not alive
    at_work.close()
    assert list(scratch.iterdir()) == []


ALONE = """
import io, sys
sys.path[:] = {path!r}
from rich.console import Console
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.run import run_benchmark
run_benchmark(BenchmarkConfig(**{fields!r}), Console(file=io.StringIO()))
"""
