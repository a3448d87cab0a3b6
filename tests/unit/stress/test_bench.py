"""The benchmark's goals: reached, missed, and what fails a run."""

from __future__ import annotations

import json

import pytest

from bench.goals import Bound, Goal, Outcome, Result
from bench.report import BEGIN, END, save, write_markdown
from gym_queue.errors import StartupFailed

RATIO = Goal("hop", "our hop", "µs", Bound.AT_MOST, 1.5, "nginx")
TIME = Goal("step", "a step", "ms", Bound.AT_MOST, 0.6, binding=False)
RATE = Goal("rate", "steps", "/s", Bound.AT_LEAST, 100)


@pytest.mark.parametrize(
    ("goal", "outcome", "missed", "fails"),
    [
        (RATIO, Outcome([30, 60, 45], [30, 30, 30]), 0, False),
        (RATIO, Outcome([50, 50, 50], [30, 30, 30]), 1 / 9, False),
        (RATIO, Outcome([90, 90, 90], [30, 30, 30]), 1, True),
        (RATIO, Outcome([30], [0]), 1, True),
        (RATE, Outcome([120, 90, 100]), 0, False),
        (RATE, Outcome([80]), 0.2, True),
        (RATE, Outcome([200], errors=1), 1, True),
        (TIME, Outcome([1.2]), 1, False),
    ],
)
def test_a_goal_missed_by_more_than_15_percent_fails(goal, outcome, missed, fails):
    result = Result.of(goal, outcome)
    assert result.missed_by == pytest.approx(missed)
    assert result.fails(strict=False) is fails


def test_absolute_times_fail_when_asked_to():
    assert Result.of(TIME, Outcome([1.2])).fails(strict=True)


def test_the_table_goes_between_the_marks_of_a_file(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_markdown([Result.of(RATIO, Outcome([45, 50], [30, 25]))], page, busy=0.5)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\nMeasured ")
    assert text.endswith(f"{END}\nafter\n")
    assert "1.75 (1.50 to 2.00)" in text
    assert "old" not in text


def test_a_file_without_marks_is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(StartupFailed, match="no place"):
        write_markdown([Result.of(RATE, Outcome([120]))], page, busy=0.5)


def test_the_json_holds_every_round(tmp_path):
    save([Result.of(RATIO, Outcome([45, 50], [30, 25]))], tmp_path / "x.json", busy=0.5)
    (row,) = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert row["figures"] == [45, 50]
    assert row["ratios"] == [1.5, 2.0]
