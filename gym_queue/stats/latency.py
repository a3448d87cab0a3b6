"""Counts and latency histograms of calls, cheap enough to stay on."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from typing import Any

BOUNDS_S = tuple(0.0001 * 2 ** (i / 2) for i in range(48))
"""Upper bounds of the buckets: from 0.1 ms, each 1.41 times the last, to some 20 min."""


class Histogram:
    """A latency histogram with fixed buckets, so that histograms of several sources can be added."""

    __slots__ = ("buckets", "count", "sum_s")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS_S) + 1)
        self.count = 0
        self.sum_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one duration."""
        self.buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self.count += 1
        self.sum_s += seconds

    def merge(self, other: Histogram) -> None:
        """Add another's counts."""
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.count += other.count
        self.sum_s += other.sum_s

    def since(self, earlier: Histogram) -> Histogram:
        """Return what was counted after ``earlier``, a copy of this one as it was then."""
        made = Histogram()
        made.buckets = [max(0, n - m) for n, m in zip(self.buckets, earlier.buckets, strict=True)]
        made.count, made.sum_s = sum(made.buckets), max(0.0, self.sum_s - earlier.sum_s)
        return made

    def copy(self) -> Histogram:
        """Return another one with the same counts."""
        made = Histogram()
        made.merge(self)
        return made

    def quantile_s(self, share: float) -> float:
        """Return the upper bound, in seconds, of the bucket that holds this quantile; 0 when nothing was counted.

        Args:
            share: 0 to 1.
        """
        wanted = share * self.count
        seen = 0
        for bound, count in zip((*BOUNDS_S, BOUNDS_S[-1]), self.buckets, strict=True):
            seen += count
            if count and seen >= wanted:
                return bound
        return 0.0


class CallStats:
    """Forwarded calls by worker and by call.

    Args:
        known: Names that are counted apart; all others count as ``other``, so that memory stays bounded.
    """

    def __init__(self, known: frozenset[str]) -> None:
        self._known = known
        self._by_worker: dict[str, dict[str, Histogram]] = {}
        self._failures: dict[str, int] = {}
        self._gone: dict[str, Histogram] = {}

    def add(self, worker_id: str, call: str, seconds: float, *, failed: bool) -> None:
        """Count one call."""
        calls = self._by_worker.get(worker_id)
        if calls is None:
            calls = self._by_worker[worker_id] = {}
        name = call if call in self._known else "other"
        histogram = calls.get(name)
        if histogram is None:
            histogram = calls[name] = Histogram()
        histogram.add(seconds)
        if failed:
            self._failures[name] = self._failures.get(name, 0) + 1

    def forget(self, worker_id: str) -> None:
        """Drop a worker that is gone; its calls stay counted, as everybody's."""
        for name, histogram in self._by_worker.pop(worker_id, {}).items():
            self._gone.setdefault(name, Histogram()).merge(histogram)

    def workers(self) -> frozenset[str]:
        """Return the workers that calls are counted of."""
        return frozenset(self._by_worker)

    def of(self, call: str, *, but: Collection[str]) -> Histogram:
        """Return one call's latencies over the workers that are there, but some."""
        merged = Histogram()
        for worker_id, calls in self._by_worker.items():
            if worker_id not in but and call in calls:
                merged.merge(calls[call])
        return merged

    def failures(self, call: str | None = None) -> int:
        """Return how many calls of a name failed; None is of all names."""
        return sum(self._failures.values()) if call is None else self._failures.get(call, 0)

    def by_call(self) -> dict[str, Histogram]:
        """Return the latencies of each call over all workers, in order of the names."""
        merged: dict[str, Histogram] = {}
        for calls in (self._gone, *self._by_worker.values()):
            for name, histogram in calls.items():
                merged.setdefault(name, Histogram()).merge(histogram)
        return dict(sorted(merged.items()))

    def summary(self) -> dict[str, Any]:
        """Return, by call, the count, failures, and latencies in ms, over all workers."""
        return {
            name: {
                "count": histogram.count,
                "failures": self.failures(name),
                **{
                    f"p{share}_ms": round(1000 * histogram.quantile_s(share / 100), 3)
                    for share in (50, 95, 99)
                },
                "mean_ms": round(1000 * histogram.sum_s / histogram.count, 3),
            }
            for name, histogram in self.by_call().items()
        }
