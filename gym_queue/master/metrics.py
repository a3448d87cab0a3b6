"""The fleet's numbers, for Prometheus: taken from their owners whenever they are asked for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from gym_queue.master.creates import Creates
from gym_queue.master.fleet import Fleet
from gym_queue.master.routes import Routes, RouteState
from gym_queue.protocol.fleet import WorkerEntry, WorkerStatus
from gym_queue.stats.latency import BOUNDS_S, CallStats, Histogram

SHOWN_BOUNDS = slice(0, len(BOUNDS_S), 2)
"""Of the buckets every second bound is shown, each twice the last."""
OF_A_WORKER: tuple[tuple[str, str, Callable[[WorkerEntry], float]], ...] = (
    ("worker_slots", "Environments that a worker takes at once.", lambda entry: entry.max_envs),
    ("worker_slots_used", "Of these, those taken or reserved.", lambda entry: entry.effective_count),
    (
        "worker_heartbeat_age_seconds",
        "How long a worker has been silent.",
        lambda entry: entry.last_heartbeat_ago_sec,
    ),
)
"""What is shown of each: name, text, number."""


class Exposition:
    """What collectors tell, in Prometheus' text format.

    Args:
        collectors: Asked anew each time.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, *collectors: Collector) -> None:
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)

    def text(self) -> bytes:
        """Return all numbers as they are now."""
        return generate_latest(self._registry)


class FleetCollector(Collector):
    """Environments, slots, creates, workers and forwarded calls; dead workers have no series of their own.

    Args:
        fleet: The workers.
        routes: Where environments are.
        creates: Those that are not answered, and how the others ended.
        calls: Counts what is forwarded.
        clock: Monotonic seconds, as of ``creates``.
    """

    def __init__(
        self,
        fleet: Fleet,
        routes: Routes,
        creates: Creates,
        calls: CallStats,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet, self._routes, self._creates, self._calls = fleet, routes, creates, calls
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Return every number; for the master's loop alone."""
        entries = self._fleet.entries()
        yield from _slots([entry for entry in entries if entry.status is WorkerStatus.HEALTHY])
        yield from _workers(entries)
        yield from self._environments()
        yield from self._answered()
        yield from _calls(self._calls)

    def _environments(self) -> Iterator[Metric]:
        waiting = self._creates.queue()
        oldest_s = max((self._clock() - create.since for create in waiting), default=0.0)
        states = Counter(route.state for route in self._routes.all())
        by_state = {"queued": len(waiting), **{str(state): states[state] for state in RouteState}}
        yield _gauges("environments", "Environments that live or wait, by state.", "state", by_state)
        yield _gauge("queue_length", "Creates that wait for a slot.", len(waiting))
        yield _gauge("queue_oldest_seconds", "How long the oldest of them has waited.", oldest_s)

    def _answered(self) -> Iterator[Metric]:
        outcomes = {"created": 0, "given_up": 0, **self._creates.outcomes}
        text = "Creates that are done, by outcome: created, given_up by their clients, or an error's code."
        yield _counters("creates", text, ["outcome"], {(name,): n for name, n in outcomes.items()})
        closed = CounterMetricFamily(
            _named("environments_closed"), "Environments that were created and closed."
        )
        closed.add_metric([], self._routes.closed_count)
        yield closed


def _slots(usable: Iterable[WorkerEntry]) -> Iterator[Metric]:
    slots, used = 0, 0
    for entry in usable:
        slots, used = slots + entry.max_envs, used + entry.effective_count
    yield _gauge("slots", "Environments that the healthy workers take at once.", slots)
    yield _gauge("slots_used", "Of these, those taken or reserved.", used)


def _workers(entries: Sequence[WorkerEntry]) -> Iterator[Metric]:
    statuses = Counter(entry.status for entry in entries)
    yield _gauges(
        "workers", "Workers by status.", "status", {status: statuses[status] for status in WorkerStatus}
    )
    alive = [entry for entry in entries if entry.status is not WorkerStatus.DEAD]
    for name, text, value_of in OF_A_WORKER:
        yield _gauges(name, text, "worker", {entry.worker_id: value_of(entry) for entry in alive})


def _calls(stats: CallStats) -> Iterator[Metric]:
    ended: dict[tuple[str, ...], float] = {}
    family = HistogramMetricFamily(
        _named("call_duration_seconds"), "How long forwarded calls took, by name.", labels=["call"]
    )
    for call, histogram in stats.by_call().items():
        failures = stats.failures(call)
        ended[call, "ok"], ended[call, "failed"] = histogram.count - failures, failures
        family.add_metric([call], _buckets(histogram), histogram.sum_s)
    yield _counters("calls", "Forwarded calls by name and outcome: ok or failed.", ["call", "outcome"], ended)
    yield family


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return how many were no longer than each bound, as Prometheus takes it."""
    up_to = list(accumulate(histogram.buckets))
    shown = zip(BOUNDS_S[SHOWN_BOUNDS], up_to[SHOWN_BOUNDS], strict=True)
    return [*((repr(bound), count) for bound, count in shown), ("+Inf", histogram.count)]


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(_named(name), text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(_named(name), text, labels=[label])
    for key, value in values.items():
        family.add_metric([str(key)], value)
    return family


def _counters(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], float]) -> Metric:
    family = CounterMetricFamily(_named(name), text, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value)
    return family


def _named(name: str) -> str:
    return f"gym_queue_{name}"
