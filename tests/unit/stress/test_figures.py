"""Sums and ratios."""

from __future__ import annotations

import os

import pytest

from gym_queue.stress.burst import most_overtaken
from gym_queue.stress.figures import Figures, Line, Sample, quantile, ratio
from gym_queue.stress.usage import UsageMeter


def figures(p50_ms: float, **errors: int) -> Figures:
    return Figures(count=1, seconds=1, rate=1, p50_ms=p50_ms, p95_ms=0, p99_ms=0, errors=errors)


def line(path: str, *p50s: float) -> Line:
    return Line(what="step", path=path, concurrency=1, rounds=[figures(p50) for p50 in p50s])


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, 0), ([7], 0.99, 7), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.95, 95), ([1, 2], 1, 2)],
)
def test_a_quantile_is_the_nearest_rank(values, share, expected):
    assert quantile(values, share) == expected


def test_a_sample_is_summed_up_in_milliseconds():
    found = Sample([0.003, 0.001, 0.002]).figures(1.5)
    assert (found.p50_ms, found.p99_ms, found.rate) == (2, 3, 2)


def test_a_ratio_is_taken_round_by_round():
    found = ratio("p50_ms", line("master", 2, 9, 4), line("worker", 1, 3, 4))
    assert found.rounds == [2, 3, 1]
    assert found.median == 2
    assert found.what == "step p50, master / worker, concurrency 1"


def test_errors_add_up_over_rounds():
    rounds = [figures(1, env_lost=2), figures(1, env_lost=1, conflict=1)]
    assert Line(what="x", path="y", concurrency=1, rounds=rounds).errors == {"env_lost": 3, "conflict": 1}


@pytest.mark.parametrize(
    ("served", "expected"),
    [("abcd", 0), ("bacd", 1), ("dabc", 1), ("bcda", 3), ("xaybcd", 0), ("", 0)],
)
def test_overtaking_counts_later_creates_served_before_one(served, expected):
    assert most_overtaken("abcd", served) == expected


def test_a_meter_reads_processor_time_and_memory():
    meter = UsageMeter({"us": os.getpid()})
    sum(number * number for number in range(300_000))
    (used,) = meter.read(1.0)
    assert used.name == "us"
    assert used.rss_mb > 1
    assert used.cpu_s >= 0
