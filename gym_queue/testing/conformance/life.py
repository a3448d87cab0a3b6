"""How a sandbox starts, ends, and dies."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.base import Runner, RunnerSetup
from gym_queue.testing.conformance.subject import FOREVER, Cases, Start, Subject, act, output_of

CALL_TIMEOUT_S = 60.0
STEPS_AFTER_KILL = 20
"""Enough to meet a sandbox that is gone; one that is back takes as many as it is asked for."""


class LifeCases(Cases):
    """start, close, a crash, two at once."""

    def test_it_says_its_name(self, runner: Runner, subject: Subject) -> None:
        assert runner.info().runner_name == subject.name

    def test_close_leaves_no_process_and_no_file(
        self, start: Start, subject: Subject, env_id: str, tmp_path: Path
    ) -> None:
        runner = start(env_id=env_id)
        output_of(
            runner,
            f"setsid -f sleep {FOREVER}; nohup sleep {FOREVER} & mkdir -p a/b; touch a/b/c; chmod 0 a/b a",
        )
        act(runner, {"keyboard": {"text": f"(setsid sleep {FOREVER} &); env -i sleep {FOREVER} &\n"}})
        assert subject.find_processes(env_id)
        runner.close()
        assert list(subject.find_processes(env_id)) == []
        assert list(subject.find_leftovers(env_id)) == []
        assert not [
            each for each in psutil.process_iter(["cmdline"]) if FOREVER in (each.info["cmdline"] or ())
        ]
        assert list((tmp_path / "work0").iterdir()) == []

    def test_closing_twice_is_fine_and_what_comes_after_fails(self, runner: Runner) -> None:
        runner.close()
        runner.close()
        with pytest.raises(RunnerFailed, match="closed"):
            runner.observe()
        with pytest.raises(RunnerFailed, match="closed"):
            runner.exec("true", timeout_s=20)
        with pytest.raises(RunnerFailed, match="closed"):
            act(runner, {"keyboard": {"text": "x"}})

    def test_a_runner_that_never_started_can_be_closed(
        self, subject: Subject, env_id: str, tmp_path: Path
    ) -> None:
        subject.open(RunnerSetup(env_id, subject.spec, None, tmp_path)).close()
        assert list(subject.find_leftovers(env_id)) == []

    def test_a_sandbox_killed_in_the_middle_of_a_step_is_lost_or_back_and_leaves_nothing(
        self, start: Start, subject: Subject, env_id: str
    ) -> None:
        if subject.kill is None:
            pytest.skip("nothing of this runner is there to kill between calls")
        runner, stepping, killed = start(env_id=env_id), threading.Event(), threading.Event()
        ended: list[RunnerFailed | None] = []

        def step() -> None:
            left = STEPS_AFTER_KILL
            try:
                while left:
                    left -= killed.is_set()
                    act(runner, {"keyboard": {"text": "x"}})
                    runner.observe()
                    stepping.set()
            except RunnerFailed as error:
                ended.append(error)
            else:
                ended.append(None)

        thread = threading.Thread(target=step)
        thread.start()
        assert stepping.wait(CALL_TIMEOUT_S)
        subject.kill(env_id)
        killed.set()
        thread.join(timeout=CALL_TIMEOUT_S)
        assert len(ended) == 1
        runner.close()
        assert list(subject.find_processes(env_id)) == []
        assert list(subject.find_leftovers(env_id)) == []

    def test_two_at_once_do_not_meet(self, start: Start) -> None:
        first, second = start(), start()
        output_of(first, "echo one > file")
        assert output_of(second, "ls") == ""
        second.close()
        assert output_of(first, "cat file") == "one\n"
        assert first.observe().png
