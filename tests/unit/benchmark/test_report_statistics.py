"""The formulas, held to published values and to their definitions."""

from __future__ import annotations

from itertools import combinations
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.benchmark.report.statistics import Pairs, mcnemar_exact, paired_difference, pass_at_k, wilson

BENTUR = Pairs(both=1, only_a=1, only_b=7, neither=12)
"""Airway hyper-responsiveness before and after stem cell transplantation, the example of Fagerland et al. (2013, 2014)."""
counts = st.integers(0, 40)
some_pairs = st.builds(Pairs, both=counts, only_a=counts, only_b=counts, neither=counts)


@pytest.mark.parametrize(
    ("passed", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # table I of Newcombe, Statistics in Medicine 17 (1998) 857, method 3
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(passed, total, low, high):
    interval = wilson(passed, total)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)


@given(counts, counts)
def test_wilson_holds_the_rate_and_stays_between_0_and_1(passed, others):
    interval = wilson(passed, passed + others)
    assert 0 <= interval.low <= interval.high <= 1
    if passed + others:
        assert interval.low <= passed / (passed + others) <= interval.high


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 7))
def test_pass_at_k_is_the_share_of_choices_of_k_attempts_with_one_that_passed(outcomes, k):
    k = min(k, len(outcomes))
    share = mean(any(chosen) for chosen in combinations(outcomes, k))
    assert pass_at_k(len(outcomes), sum(outcomes), k) == pytest.approx(share)


def test_pass_at_k_of_a_known_example():
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252)
    assert pass_at_k(5, 0, 5) == 0
    assert pass_at_k(5, 1, 5) == 1


def test_mcnemars_exact_test_gives_the_published_p_value():
    assert mcnemar_exact(BENTUR) == pytest.approx(0.0703, abs=5e-5)


def test_runs_that_differ_nowhere_differ_by_chance():
    assert mcnemar_exact(Pairs(both=4, only_a=0, only_b=0, neither=2)) == 1
    assert mcnemar_exact(Pairs(both=4, only_a=3, only_b=3, neither=2)) == 1


def test_newcombes_interval_is_the_published_one():
    interval = paired_difference(BENTUR)
    assert (interval.low, interval.high) == pytest.approx((0.026, 0.507), abs=5e-4)


@given(some_pairs.filter(lambda pairs: pairs.total > 0))
def test_the_interval_holds_the_difference_and_turns_over_with_the_runs(pairs):
    interval = paired_difference(pairs)
    assert -1 <= interval.low <= (pairs.only_b - pairs.only_a) / pairs.total <= interval.high <= 1
    turned = paired_difference(pairs.model_copy(update={"only_a": pairs.only_b, "only_b": pairs.only_a}))
    assert (-turned.high, -turned.low) == pytest.approx((interval.low, interval.high))
    assert 0 < mcnemar_exact(pairs) <= 1
