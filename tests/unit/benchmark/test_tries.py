"""Tries that the infrastructure loses: run again, counted apart, in no score."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gym_queue.benchmark.agents.registry import find_agent
from gym_queue.benchmark.attempt import Attempt, AttemptError, Key, Outcome
from gym_queue.benchmark.events import Ended
from gym_queue.benchmark.messages import Job
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.benchmark.play import TrySetup, run_try
from gym_queue.benchmark.results import Tally, tally
from gym_queue.benchmark.show import progress
from gym_queue.benchmark.tries import Tries
from gym_queue.env.local import from_config
from gym_queue.errors import ConnectionFailed, EnvLost, GymQueueError, HookFailed, RunnerUnavailable

from .runs import attempt

LOSS = AttemptError(code="env_lost", message="gone")


def settled(tries: Tries, done: Attempt, *, is_lost: bool) -> Attempt:
    kept = tries.settle(done, is_lost=is_lost)
    assert kept is not None
    return kept


class Losing:
    """A real environment whose steps fail from the second on."""

    def __init__(self, env, error: GymQueueError) -> None:
        self._env, self._error, self._steps = env, error, 0
        self.asked: dict[str, Any] = {}
        self.env_id = env.env_id

    def reset(self, **options):
        self.asked.update(options)
        return self._env.reset(**options)

    def step(self, *arguments, **options):
        self._steps += 1
        if self._steps > 1:
            raise self._error
        return self._env.step(*arguments, **options)

    def close(self) -> None:
        self._env.close()


class Told:
    """What a try says of itself."""

    def __init__(self) -> None:
        self.turns: list[str | None] = []
        self.steps: list[int] = []

    def turn(self, where: str | None) -> None:
        self.turns.append(where)

    def step(self, steps: int) -> None:
        self.steps.append(steps)

    def closing(self) -> None:
        self.turns.append("(closing)")

    def tell(self, text: str) -> None:
        raise AssertionError(f"no agent here has anything to say, but {text}")


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def play(terminal, told):
    """Runs a try of the task "right", in whose environment the second step fails with the error given."""

    def run(error: GymQueueError | None = None) -> tuple[Attempt, bool]:
        def open_env(job: Job):
            env = from_config(job.env_dir, job.key.task_id)
            run.opened = Losing(env, error) if error is not None else env  # type: ignore[attr-defined]
            return run.opened  # type: ignore[attr-defined]

        agents, reset = find_agent("ScriptedAgent", {}), {"cache_level": "post_start"}
        setup = TrySetup(OpenEnvs(open_env), agents, told, seed=7, reset=reset)
        key = Key("terminal", "right")
        return run_try(Job(key, Path(terminal.path), "terminal", "e1"), setup)

    return run


@pytest.mark.parametrize("error", [EnvLost("gone"), ConnectionFailed("away", {"sent": True})])
def test_a_try_whose_environment_was_lost_says_so(play, told, error):
    done, is_lost = play(error)
    assert is_lost
    assert (done.outcome, done.score, done.reward, done.steps) == (Outcome.ERROR, None, None, 1)
    assert done.error == AttemptError(code=error.code, message=str(error))
    assert told.steps == [1]


def test_a_reset_gets_the_seed_and_the_flags_of_the_run(play):
    play(EnvLost("gone"))
    assert play.opened.asked == {"seed": 7, "cache_level": "post_start"}


@pytest.mark.parametrize("error", [HookFailed("the hook broke"), RunnerUnavailable("nobody has docker")])
def test_what_no_other_try_can_mend_is_not_lost(play, error):
    done, is_lost = play(error)
    assert (done.error.code, is_lost) == (error.code, False)


def test_a_try_says_when_the_agents_code_runs_and_where_its_time_went(play, told):
    done, _ = play()
    assert [turn for turn in told.turns if turn] == [
        *("construction", "start", "act at step 0", "act at step 1", "(closing)", "close")
    ]
    spent = done.timings.model_dump()
    assert all(seconds > 0 for seconds in spent.values())
    assert sum(spent.values()) <= done.seconds


def test_an_attempt_is_run_again_as_often_as_it_may_and_keeps_why():
    tries = Tries(2)
    losses = [attempt("a", "error", error=LOSS, usage={"input_tokens": 5})] * 3
    assert [tries.settle(each, is_lost=True) for each in losses[:2]] == [None, None]
    done = settled(tries, losses[2], is_lost=True)
    assert (done.error, done.lost, done.usage) == (LOSS, (LOSS,) * 3, {"input_tokens": 15})


def test_a_later_try_that_is_judged_counts_and_what_was_used_before_is_added():
    tries = Tries(2)
    tries.settle(attempt("a", "error", error=LOSS, usage={"cost_usd": 0.5}), is_lost=True)
    tries.forgive(attempt("a", "error", error=LOSS, usage={"cost_usd": 0.25}))
    done = settled(tries, attempt("a", usage={"cost_usd": 1.0}), is_lost=False)
    assert (done.outcome, done.lost, done.usage) == (Outcome.PASSED, (LOSS,), {"cost_usd": 1.75})
    assert settled(tries, attempt("b"), is_lost=False).lost == ()


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


def test_the_same_task_in_two_environments_is_two_attempts():
    tries: Iterator[Attempt | None]
    account = Tries(0)
    tries = (account.settle(attempt("a", env=env, usage={"input_tokens": 1}), is_lost=False) for env in "xy")
    assert [(done.env, done.usage) for done in tries if done] == [
        ("x", {"input_tokens": 1}),
        ("y", {"input_tokens": 1}),
    ]
