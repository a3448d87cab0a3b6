from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.stats.callreports import REPORTED, CallCounts, CallReports
from gym_queue.stats.latency import Histogram

Calls = list[tuple[str, float]]
CALLS: st.SearchStrategy[Calls] = st.lists(st.tuples(st.sampled_from(REPORTED), st.floats(0, 2000)))


def counted(calls: Calls, into: CallCounts | None = None) -> CallCounts:
    counts = into or CallCounts()
    for name, seconds in calls:
        counts.add(name, seconds, failed=False)
    return counts


def histogram(calls: Calls, name: str) -> Histogram:
    made = Histogram()
    for each, seconds in calls:
        if each == name:
            made.add(seconds)
    return made


def begun() -> CallReports:
    """Return reports of a worker that has said that nothing was called yet."""
    reports = CallReports()
    reports.take("w", 1, {})
    return reports


@given(CALLS, CALLS)
def test_the_master_counts_what_the_worker_counted(early: Calls, late: Calls) -> None:
    reports, counts = begun(), counted(early)
    reports.take("w", 1, json.loads(json.dumps(counts.report())))
    reports.take("w", 1, json.loads(json.dumps(counted(late, counts).report())))
    for name in REPORTED:
        assert reports.of(name).buckets == histogram(early + late, name).buckets
        assert reports.of(name).count == histogram(early + late, name).count


@given(CALLS, CALLS)
def test_what_a_worker_counted_before_it_was_started_anew_stays(early: Calls, late: Calls) -> None:
    reports = begun()
    reports.take("w", 1, counted(early).report())
    reports.take("w", 2, counted(late).report())
    assert [reports.of(name).count for name in REPORTED] == [
        histogram(early + late, name).count for name in REPORTED
    ]


def test_counts_that_shrank_are_of_a_new_process_even_where_nothing_else_tells() -> None:
    reports = begun()
    reports.take("w", None, counted([("step", 0.001)] * 3).report())
    reports.take("w", None, counted([("step", 0.1)]).report())
    assert reports.of("step").count == 4


def test_what_a_worker_had_answered_before_this_master_is_not_counted() -> None:
    reports, counts = CallReports(), counted([("step", 0.001)] * 100)
    reports.take("w", 1, counts.report())
    reports.take("w", 1, counted([("step", 0.001)] * 2, counts).report())
    assert reports.of("step").count == 2


def test_a_worker_that_is_forgotten_stays_counted() -> None:
    reports = begun()
    reports.take("w", 1, counted([("step", 0.001)]).report())
    reports.forget("w")
    assert (reports.of("step").count, list(reports.workers)) == (1, [])


def test_failures_are_counted_and_calls_of_other_names_are_one() -> None:
    reports, counts = begun(), CallCounts()
    counts.add("step", 0.1, failed=True)
    counts.add("keepalive", 0.1, failed=False)
    counts.add("screen", 0.1, failed=True)
    reports.take("w", 1, counts.report())
    assert (reports.failures, reports.of("other").count, reports.of("nothing").count) == (2, 2, 0)


def test_a_report_stays_below_a_kilobyte() -> None:
    counts = CallCounts()
    for bucket in range(24):
        for name in REPORTED:
            counts.add(name, 0.001 * 1.42**bucket, failed=True)
    numbers = {name: [each * 99_999 for each in row] for name, row in counts.report().items()}
    assert len(json.dumps(counts.report(), separators=(",", ":"))) < 300
    assert len(json.dumps(numbers, separators=(",", ":"))) < 1000


@pytest.mark.parametrize(
    "report",
    [
        None,
        3,
        "step",
        [],
        {"step": None},
        {"step": []},
        {"step": [1, 2]},
        {"step": [0, 0, 0, -1]},
        {"step": [0, 0, 0, 1.5]},
        {"step": [0, 0, 0, True]},
        {"step": [0, 0, 0, 2**70]},
        {"step": [0, 0, 49, 1]},
        {"step": [0, 0, 2**40, 1]},
        {"step": [0, 0, 0, *[1] * 50]},
        {"step": [0, 0, 0, "1"]},
        {"unknown": [0, 0, 0, 1]},
    ],
)
def test_what_is_no_report_counts_nothing(report: Any) -> None:
    reports = begun()
    reports.take("w", 1, report)
    assert [reports.of(name).count for name in REPORTED] == [0, 0, 0]
