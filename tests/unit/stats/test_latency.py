from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.stats.latency import BOUNDS_S, CallStats, Histogram


def histogram(*seconds: float) -> Histogram:
    made = Histogram()
    for value in seconds:
        made.add(value)
    return made


def test_nothing_counted_has_no_latency() -> None:
    assert histogram().quantile_s(0.5) == 0


@given(st.lists(st.floats(0, BOUNDS_S[-1]), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_quantile_is_at_most_one_bucket_above_the_true_one(values: list[float], share: float) -> None:
    true = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    assert true <= histogram(*values).quantile_s(share) <= max(BOUNDS_S[0], true * 1.4143)


def test_what_is_longer_than_any_bucket_counts_in_the_last() -> None:
    assert histogram(1e9).quantile_s(0.5) == BOUNDS_S[-1]


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0, 100)))
def test_merging_is_counting_together(one: list[float], two: list[float]) -> None:
    merged = histogram(*one)
    merged.merge(histogram(*two))
    assert merged.buckets == histogram(*one, *two).buckets
    assert merged.sum_s == pytest.approx(sum(one) + sum(two))


def test_calls_are_summed_over_workers_and_unknown_names_are_one() -> None:
    stats = CallStats(frozenset({"step"}))
    stats.add("w1", "step", 0.001, failed=False)
    stats.add("w2", "step", 0.003, failed=True)
    stats.add("w2", "whatever", 0.001, failed=False)
    stats.add("w2", "anything", 0.001, failed=False)
    summary = stats.summary()
    assert {name: (row["count"], row["failures"]) for name, row in summary.items()} == {
        "other": (2, 0),
        "step": (2, 1),
    }
    assert summary["step"]["mean_ms"] == 2.0


def test_the_calls_of_a_worker_that_is_forgotten_stay_counted_but_not_as_its_own() -> None:
    stats = CallStats(frozenset({"step"}))
    stats.add("w1", "step", 0.001, failed=False)
    before = stats.summary()
    stats.forget("w1")
    assert stats.summary() == before
    assert stats.workers() == frozenset()
    assert stats.of("step", but=()).count == 0


def test_what_was_counted_since_a_moment_is_a_histogram_of_its_own() -> None:
    now = histogram(0.001, 0.002)
    earlier = now.copy()
    now.add(0.004)
    assert now.since(earlier).buckets == histogram(0.004).buckets
    assert (now.since(earlier).count, earlier.since(now).count) == (1, 0)
