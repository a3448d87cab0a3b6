"""Call counts as workers carry them to the master in their heartbeats: each its own, from its start, never reset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gym_queue.stats.latency import BOUNDS_S, Histogram

OTHER = "other"
REPORTED = ("reset", "step", OTHER)
"""What is told apart: so that a report stays below a kilobyte."""
MOST = 2**53
"""Largest number that JSON carries exactly."""


class CallCounts:
    """The calls that a worker has answered, by name.

    Counting one takes about half a microsecond, so that it stays on.
    """

    def __init__(self) -> None:
        self._calls = {name: Histogram() for name in REPORTED}
        self._failures = dict.fromkeys(REPORTED, 0)

    def add(self, call: str, seconds: float, *, failed: bool) -> None:
        """Count one call."""
        name = call if call in self._calls else OTHER
        self._calls[name].add(seconds)
        if failed:
            self._failures[name] += 1

    def report(self) -> dict[str, list[int]]:
        """Return all counts, for a heartbeat: name → microseconds in all, failures, first bucket, its count, the next one's, .."""
        found = {}
        for name, histogram in self._calls.items():
            used = [index for index, count in enumerate(histogram.buckets) if count]
            if used:
                counts = histogram.buckets[used[0] : used[-1] + 1]
                found[name] = [int(histogram.sum_s * 1e6), self._failures[name], used[0], *counts]
        return found


class CallReports:
    """What the workers' reports add up to, over restarts of workers too. Lives on the master's loop.

    The first report of a worker is where its count begins: what it had answered before is another master's.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[object, dict[str, list[int]]]] = {}
        self._calls = {name: Histogram() for name in REPORTED}
        self.failures = 0
        """Calls that workers answered with a status of 500 or above."""

    @property
    def workers(self) -> Mapping[str, object]:
        """The workers that have reported, and not been forgotten."""
        return self._last

    def take(self, worker_id: str, process: object, report: object) -> None:
        """Take a worker's report; what is none is passed over.

        Args:
            worker_id: The worker.
            process: Tells its process from those before, whose counts stay.
            report: As ``CallCounts.report`` makes it.
        """
        counts = _counts_of(report)
        if counts is None:
            return
        known = self._last.get(worker_id)
        self._last[worker_id] = process, counts
        if known is None:
            return
        before = known[1] if known[0] == process and not _has_shrunk(known[1], counts) else {}
        for name, numbers in counts.items():
            self._add(name, numbers, before.get(name, [0, 0, 0]))

    def forget(self, worker_id: str) -> None:
        """Drop a worker that is gone; its calls stay counted."""
        self._last.pop(worker_id, None)

    def of(self, call: str) -> Histogram:
        """Return one call's latencies; not to be changed."""
        return self._calls.get(call) or Histogram()

    def _add(self, name: str, numbers: list[int], before: list[int]) -> None:
        if numbers == before:
            return
        histogram = self._calls[name]
        for sign, (_sum, _failures, first, *counts) in ((1, numbers), (-1, before)):
            for index, count in enumerate(counts, first):
                histogram.buckets[index] += sign * count
            histogram.count += sign * sum(counts)
        histogram.sum_s += (numbers[0] - before[0]) / 1e6
        self.failures += numbers[1] - before[1]


def _counts_of(report: object) -> dict[str, list[int]] | None:
    if not isinstance(report, dict):
        return None
    return {name: report[name] for name in REPORTED if _is_row(report.get(name))}


def _is_row(value: Any) -> bool:
    return (
        isinstance(value, list)
        and 3 <= len(value) <= 4 + len(BOUNDS_S)
        and all(type(number) is int and 0 <= number < MOST for number in value)
        and value[2] + len(value) - 3 <= len(BOUNDS_S) + 1
    )


def _has_shrunk(before: Mapping[str, list[int]], after: Mapping[str, list[int]]) -> bool:
    """Return whether counts can only be those of a new process: each one that grew, only grew."""
    for name, numbers in before.items():
        later = after.get(name)
        if later is None or later[:2] < numbers[:2] or later[1] < numbers[1]:
            return True
        grown = dict(enumerate(later[3:], later[2]))
        if any(grown.get(index, 0) < count for index, count in enumerate(numbers[3:], numbers[2])):
            return True
    return False
