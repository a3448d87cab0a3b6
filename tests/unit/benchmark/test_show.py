from __future__ import annotations

import io

from rich.console import Console

from gym_queue.benchmark.attempt import Attempt, AttemptError, Outcome
from gym_queue.benchmark.events import Ended, Started, Stepped
from gym_queue.benchmark.show import LiveProgress, progress, summary

PASSED = Attempt(task_id="one", outcome=Outcome.PASSED, score=100, reward=1, steps=3, seconds=1.25)
LOST = Attempt(
    task_id="two", outcome=Outcome.ERROR, error=AttemptError(code="env_lost", message="its [worker] is gone")
)


def render(live: LiveProgress) -> str:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as captured:
        console.print(live.render())
    return captured.get()


def test_live_progress_counts_outcomes_and_names_what_runs():
    live = LiveProgress(3)
    for event in (Started("one"), Started("two"), Stepped("two", 5), Ended(PASSED)):
        live(event)
    shown = render(live)
    assert "1/3 ✓ 1 passed ✗ 0 failed ! 0 error" in shown
    assert "two: step 5" in shown
    assert "one:" not in shown


def test_live_progress_names_only_some_of_many():
    live = LiveProgress(100)
    for number in range(64):
        live(Started(f"task{number}"))
    assert "and 54 more" in render(live)


def test_where_there_is_no_terminal_each_attempt_is_one_line():
    out = io.StringIO()
    with progress(Console(file=out, width=40), 2) as on_event:
        for event in (Started("one"), Ended(PASSED), Ended(LOST)):
            on_event(event)
    assert out.getvalue().splitlines() == [
        "✓ [1/2] one: passed, score 100, 3 steps, 1.2 s",
        "! [2/2] two: error, 0 steps, 0.0 s: env_lost: its [worker] is gone",
    ]


def test_live_progress_leaves_nothing_behind_on_a_terminal():
    out = io.StringIO()
    with progress(Console(file=out, force_terminal=True, width=80), 1) as on_event:
        on_event(Started("one"))
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
