from __future__ import annotations

import json

import pytest

from gym_queue.stats.history import History


def history(*times: float, kept: int = 5) -> History:
    made = History(["a"], step_s=10, kept=kept)
    for at in times:
        made.add(at, {"a": at})
    return made


def test_a_step_that_nobody_measured_is_a_gap() -> None:
    assert history(100, 130).columns() == {"at": [100, 110, 120, 130], "a": [100, None, None, 130]}


def test_a_step_that_is_a_little_late_is_no_gap() -> None:
    assert history(100, 114, 124).columns()["a"] == [100, 114, 124]


def test_the_oldest_rows_leave() -> None:
    assert history(*range(0, 100, 10)).columns()["at"] == [50, 60, 70, 80, 90]


def test_a_gap_longer_than_all_that_is_kept_leaves_nothing_of_before() -> None:
    assert history(100, 10_000).columns()["at"] == [10_000]


def test_a_clock_that_is_set_back_takes_away_what_would_be_of_the_future() -> None:
    assert history(100, 110, 120, 105).columns()["at"] == [100, 105]


def test_another_process_goes_on_where_the_one_before_was() -> None:
    after = history()
    after.load(history(100, 110).dump(), now=135)
    after.add(140, {"a": 140})
    assert after.columns() == {"at": [100, 110, 120, 130, 140], "a": [100, 110, None, None, 140]}


def test_what_is_too_old_or_of_the_future_is_not_taken_back() -> None:
    after = history()
    after.load(history(100, 110, 140).dump(), now=155)
    assert after.columns()["at"] == [110, 120, 130, 140]
    after = history()
    after.load(history(100, 110).dump(), now=90)
    assert after.columns()["at"] == []


def test_what_was_written_at_other_steps_is_left_out() -> None:
    after = history()
    after.load(History(["a"], step_s=1).dump(), now=100)
    assert after.columns()["at"] == []


def test_a_column_that_the_earlier_process_did_not_know_is_empty() -> None:
    after = History(["a", "b"], step_s=10, kept=5)
    after.load(history(100).dump(), now=105)
    assert after.columns() == {"at": [100], "a": [100], "b": [None]}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"step_s": 10}',
        '{"step_s": 10, "series": {"a": [1]}}',
        '{"step_s": 10, "series": {"at": [100, 110], "a": [1]}}',
        '{"step_s": 10, "series": {"at": ["x"]}}',
        '{"step_s": 10, "series": {"at": [100], "a": [NaN]}}',
        '{"step_s": 10, "series": {"at": [100], "a": [1e999]}}',
        "[" * 100_000,
        '{"step_s": 10, "series": 3}',
    ],
)
def test_what_is_no_history_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        history().load(text, now=200)


def test_what_is_dumped_is_json_that_browsers_read() -> None:
    assert json.loads(history(100, 130).dump())["series"]["a"] == [100, None, None, 130]
