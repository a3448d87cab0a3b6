"""Attempts that the infrastructure loses: run again, counted apart, in no score."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from gym_queue.benchmark.agents.registry import find_agent
from gym_queue.benchmark.attempt import Attempt, AttemptError, AttemptSetup, Outcome, run_attempt
from gym_queue.benchmark.events import Ended
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.benchmark.results import Tally, tally
from gym_queue.benchmark.show import progress
from gym_queue.env.local import from_config
from gym_queue.errors import (
    ConnectionFailed,
    EnvLost,
    GymQueueError,
    HookFailed,
    NoCapacity,
    RunnerUnavailable,
)
from gym_queue.specs.loader import load_env

LOSS = AttemptError(code="env_lost", message="gone")


class Losing:
    """A real environment whose steps fail from the second on."""

    def __init__(self, env, error: GymQueueError) -> None:
        self._env, self._error, self._steps = env, error, 0
        self.env_id = env.env_id

    def reset(self, **options):
        return self._env.reset(**options)

    def step(self, *arguments, **options):
        self._steps += 1
        if self._steps > 1:
            raise self._error
        return self._env.step(*arguments, **options)

    def close(self) -> None:
        self._env.close()


@pytest.fixture
def attempt(terminal):
    """Runs the task "right", whose environments fail with the given errors, one each, before one works."""

    def run(*errors: GymQueueError, on_step=lambda steps: None, **options) -> Attempt:
        left: Iterator[GymQueueError] = iter(errors)

        def open_env(task_id: str):
            env, error = from_config(terminal.path, task_id), next(left, None)
            return Losing(env, error) if error is not None else env

        agents = find_agent("ScriptedAgent", {})
        setup = AttemptSetup(
            terminal.path, load_env(terminal.path), OpenEnvs(open_env), agents, lost_retries=2, **options
        )
        return run_attempt("right", setup, on_step=on_step)

    return run


def test_an_attempt_whose_environment_was_lost_is_run_again_from_its_start(attempt):
    steps: list[int] = []
    done = attempt(EnvLost("gone"), NoCapacity("full"), on_step=steps.append)
    assert (done.outcome, done.score, done.reward, done.steps) == (Outcome.PASSED, 100, 1, 2)
    assert [each.code for each in done.lost] == ["env_lost", "no_capacity"]
    assert steps == [1, 1, 1, 2]


def test_an_attempt_that_is_lost_each_time_is_an_error_without_a_score(attempt):
    done = attempt(EnvLost("one"), EnvLost("two"), ConnectionFailed("three", {"sent": True}))
    assert (done.outcome, done.score, done.reward) == (Outcome.ERROR, None, None)
    assert done.error == AttemptError(code="connection_failed", message="three")
    assert [each.message for each in done.lost] == ["one", "two", "three"]


@pytest.mark.parametrize("error", [HookFailed("the hook broke"), RunnerUnavailable("nobody has docker")])
def test_what_no_other_try_can_mend_is_not_tried_again(attempt, error):
    done = attempt(error)
    assert (done.error.code, done.lost) == (
        error.code,
        (),
    )


def test_lost_tries_are_counted_apart_and_in_no_score():
    found = [
        Attempt(task_id="a", outcome=Outcome.PASSED, score=100, lost=(LOSS,)),
        Attempt(task_id="b", outcome=Outcome.FAILED, score=50),
        Attempt(task_id="c", outcome=Outcome.ERROR, error=LOSS, lost=(LOSS,) * 3),
    ]
    assert tally(found) == Tally(passed=1, failed=1, errors=1, lost_tries=4, mean_score=75)


def test_a_line_of_progress_tells_lost_tries():
    out = io.StringIO()
    with progress(Console(file=out, width=40), 1) as on_event:
        on_event(Ended(Attempt(task_id="a", outcome=Outcome.PASSED, score=100, steps=2, lost=(LOSS,))))
    assert out.getvalue() == "✓ [1/1] a: passed, score 100, 2 steps, 0.0 s, 1 try lost\n"
