"""What a run prints while it goes on, and at its end."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from gym_queue.benchmark.attempt import Attempt, AttemptError, Key, Outcome
from gym_queue.benchmark.events import Dropped, Ended, Passing, Started, Stepped
from gym_queue.benchmark.pace import Pace
from gym_queue.benchmark.show import SAY_EVERY_S, LiveProgress, progress, summary

ONE, TWO = Key("small", "one"), Key("small", "two")
PASSED = Attempt(
    env="small", task_id="one", outcome=Outcome.PASSED, score=100, reward=1, steps=3, seconds=1.25
)
LOST = Attempt(
    env="small",
    task_id="two",
    outcome=Outcome.ERROR,
    error=AttemptError(code="env_lost", message="its [worker] is gone"),
)


class Hands:
    """A clock that stands until it is turned."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


def render(live: LiveProgress) -> str:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(live.render())
    return captured.get()


def test_live_progress_counts_outcomes_and_names_what_runs(clock):
    live = LiveProgress(Pace(3, clock))
    for event in (Started(ONE), Started(TWO), Stepped(TWO, 5), Ended(PASSED)):
        live(event)
    shown = render(live)
    assert "1/3 ✓ 1 passed ✗ 0 failed ! 0 error" in shown
    assert "two: step 5" in shown
    assert "one:" not in shown


def test_live_progress_names_only_some_of_many(clock):
    live = LiveProgress(Pace(100, clock))
    for number in range(64):
        live(Started(Key("small", f"task{number}")))
    assert "and 54 more" in render(live)


def test_a_run_says_its_rates_and_when_it_will_end(clock):
    pace = Pace(10, clock)
    used = {"input_tokens": 1500, "output_tokens": 500, "cost_usd": 0.25}
    for event in (Started(ONE), Started(TWO), Ended(PASSED.model_copy(update={"usage": used}))):
        pace(event)
    pace(Ended(Attempt(env="small", task_id="three", outcome=Outcome.FAILED)))
    clock.now += 60
    assert pace.line() == (
        "2 of 10 ended, 1 running, 1 of 2 scored passed (50%), 2.0 a minute, about 4 min left, 2.0k tokens, 0.25 USD"
    )


def test_before_anything_ended_nothing_is_guessed(clock):
    pace = Pace(10, clock)
    for event in (Started(ONE), Started(TWO), Dropped(TWO)):
        pace(event)
    assert pace.line() == "0 of 10 ended, 1 running"


def test_a_run_that_waits_for_its_master_says_so(clock):
    pace = Pace(10, clock)
    pace(Passing(42.0))
    assert pace.line().endswith("waiting for the master, silent for 42 s")
    pace(Passing())
    assert "master" not in pace.line()


def test_an_attempt_of_several_environments_is_named_with_its_own(clock):
    pace = Pace(2, clock)
    pace(Started(ONE))
    assert pace.name(ONE) == "one"
    pace(Started(Key("large", "one", 1)))
    assert pace.name(Key("large", "one", 1)) == "large/one #2"


def test_where_there_is_no_terminal_each_attempt_is_one_line(clock):
    out = io.StringIO()
    with progress(Console(file=out, width=40), 2, clock) as on_event:
        for event in (Started(ONE), Ended(PASSED), Passing(), Ended(LOST)):
            on_event(event)
    assert out.getvalue().splitlines() == [
        "✓ [1/2] one: passed, score 100, 3 steps, 1.2 s",
        "! [2/2] two: error, 0 steps, 0.0 s: env_lost: its [worker] is gone",
    ]


def test_where_there_is_no_terminal_the_run_says_now_and_then_how_it_gets_on(clock):
    out = io.StringIO()
    with progress(Console(file=out, width=40), 2, clock) as on_event:
        for event in (Started(ONE), Passing(), Started(TWO)):
            on_event(event)
        clock.now += SAY_EVERY_S
        for event in (Passing(), Passing()):
            on_event(event)
    assert out.getvalue().splitlines() == ["-- 0 of 2 ended, 2 running"]


def test_live_progress_leaves_nothing_behind_on_a_terminal():
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=True, width=80), 1) as on_event:
        on_event(Started(ONE))
        on_event(Ended(PASSED))
    assert out.getvalue().endswith("\x1b[2K")


def test_the_table_has_a_line_for_each_attempt_and_the_summary_counts(bench, pair):
    bench(pair)
    heading, right, wrong, said = bench.printed.getvalue().splitlines()
    assert heading.split() == ["task", "outcome", "score", "steps", "seconds", "feedback"]
    assert right.split()[:5] == ["right", "✓", "passed", "100", "1"]
    assert wrong.split()[:5] == ["wrong", "✗", "failed", "25", "1"]
    assert wrong.rstrip().endswith("the answer is 41")
    assert said.startswith("1 passed, 1 failed, 0 errors of 2 in ")
    assert "mean score 62.5" in said


def test_the_summary_says_what_was_lost_to_the_infrastructure(bench, pair):
    results = bench(pair)
    tally = results.tally.model_copy(update={"lost_tries": 3})
    said = summary(results.model_copy(update={"tally": tally}), None).plain
    assert said.endswith("mean score 62.5; 3 tries lost to the infrastructure")
    assert "lost" not in summary(results, None).plain
