"""Creates and calls of the whole fleet, counted since the master's start: as the workers tell, or the gateway where they do not."""

from __future__ import annotations

from dataclasses import dataclass

from gym_queue.master.creates import Creates
from gym_queue.master.routes import Routes
from gym_queue.protocol.fleet import Heartbeat
from gym_queue.stats.callreports import CallReports
from gym_queue.stats.latency import CallStats, Histogram

MEASURED = ("create", "reset", "step")
"""What latencies are shown of."""
NO_FAILURES = frozenset({"created", "given_up", "cancelled"})
"""Outcomes of creates that nothing went wrong in."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts from the master's start to one moment."""

    at: float
    """Monotonic seconds."""
    created: int
    closed: int
    lost: int
    failed: int
    """Creates that ended in an error."""
    errors: int
    """Calls that were answered with a status of 500 or above, or did not reach their worker."""
    latencies: dict[str, Histogram]
    """By what is measured; a create's is from being asked for to its answer."""
    queued: Histogram
    """How long creates waited for their slot."""

    @property
    def steps(self) -> int:
        """Steps that were answered."""
        return self.latencies["step"].count


class Counters:
    """Reads the counts off their owners. Lives on the master's loop.

    Args:
        routes: Counts environments.
        creates: Counts creates.
        forwarded: The gateway's; asked for the workers that report nothing themselves.
        reports: The workers'.
    """

    def __init__(
        self, routes: Routes, creates: Creates, forwarded: CallStats, reports: CallReports | None = None
    ) -> None:
        self._routes, self._creates, self._forwarded = routes, creates, forwarded
        self._reports = reports or CallReports()

    def take(self, beat: Heartbeat, process: int | None) -> None:
        """Take what a worker's heartbeat tells of its calls."""
        if beat.metrics and "calls" in beat.metrics:
            self._reports.take(beat.worker_id, process, beat.metrics["calls"])

    def keep_only(self, worker_ids: frozenset[str]) -> None:
        """Forget the workers that are not among these."""
        for worker_id in self._reports.workers.keys() - worker_ids:
            self._reports.forget(worker_id)
        for worker_id in self._forwarded.workers() - worker_ids:
            self._forwarded.forget(worker_id)

    def totals(self, at: float) -> Totals:
        """Return the counts now, which is ``at``."""
        waiting = self._creates.waiting
        return Totals(
            at,
            self._routes.created_count,
            self._routes.closed_count,
            self._routes.lost_count,
            sum(count for name, count in waiting.outcomes.items() if name not in NO_FAILURES),
            self._forwarded.failures() + self._reports.failures,
            {"create": waiting.took.copy(), "reset": self._of("reset"), "step": self._of("step")},
            waiting.queued.copy(),
        )

    def _of(self, call: str) -> Histogram:
        found = self._forwarded.of(call, but=self._reports.workers)
        found.merge(self._reports.of(call))
        return found
