"""The fleet's numbers, for Prometheus: taken from their owners whenever they are asked for."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gym_queue.master.api.board import Board
from gym_queue.master.api.counters import Totals
from gym_queue.master.creates import Creates
from gym_queue.master.fleet import Fleet
from gym_queue.master.records import WorkerRecord
from gym_queue.master.routes import Routes, RouteState
from gym_queue.protocol.fleet import WorkerStatus
from gym_queue.stats.latency import BOUNDS_S, CallStats, Histogram
from gym_queue.version import __version__

SHOWN_BOUNDS = slice(0, len(BOUNDS_S), 2)
"""Of the buckets every second bound is shown, each twice the last."""
HEARD = (WorkerStatus.HEALTHY, WorkerStatus.DRAINING)
"""Of workers whose heartbeats arrive."""


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """One worker, as its numbers are made of it."""

    record: WorkerRecord
    status: WorkerStatus
    used: int
    """Slots taken or reserved."""
    now: float
    """Monotonic seconds."""


OF_A_WORKER: tuple[tuple[str, str, Callable[[SeenWorker], float | None]], ...] = (
    ("worker_up", "Whether a worker's heartbeats arrive: 1 or 0.", lambda seen: seen.status in HEARD),
    ("worker_draining", "Whether it takes no more environments: 1 or 0.", lambda seen: seen.record.draining),
    (
        "worker_slots",
        "Environments that a worker takes at once.",
        lambda seen: seen.record.registration.max_envs,
    ),
    ("worker_slots_used", "Of these, those taken or reserved.", lambda seen: seen.used),
    (
        "worker_cpu_ratio",
        "How much of its machine's processors is in use: 0 to 1.",
        lambda seen: _ratio(seen.record.cpu_percent),
    ),
    (
        "worker_memory_ratio",
        "How much of its machine's memory is in use: 0 to 1.",
        lambda seen: _ratio(seen.record.memory_percent),
    ),
    (
        "worker_heartbeat_age_seconds",
        "How long a worker has been silent.",
        lambda seen: round(seen.now - seen.record.seen, 3),
    ),
)
"""What is shown of each: name, text, number; None is not known."""


class Exposition:
    """What collectors tell, in Prometheus' text format.

    Args:
        collectors: Asked anew each time.
        lines: Further text, made anew each time: of what there is too much for collectors.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, *collectors: Collector, lines: Callable[[], Iterable[str]] = lambda: ()) -> None:
        self._registry = CollectorRegistry()
        for collector in collectors:
            self._registry.register(collector)
        self._lines = lines

    def text(self) -> bytes:
        """Return all numbers as they are now."""
        return generate_latest(self._registry) + "".join(self._lines()).encode()


class ProgramCollector(Collector):
    """The master itself: its version, and its process."""

    def __init__(self) -> None:
        self._process = ProcessCollector(registry=None)

    def collect(self) -> Iterator[Metric]:
        """Return every number."""
        build = {"version": __version__, "python_version": platform.python_version()}
        yield InfoMetricFamily(_named("build"), "What the master is made of.", value=build)
        yield from self._process.collect()


class BrokerCollector(Collector):
    """Celery as the master sees it: whether it hears the broker, and what events it heard.

    Args:
        is_up: Returns whether messages of the broker arrive.
        counts: Returns how many events there were by the state that they tell.
    """

    def __init__(self, is_up: Callable[[], bool], counts: Callable[[], Mapping[str, int]]) -> None:
        self._is_up, self._counts = is_up, counts

    def collect(self) -> Iterator[Metric]:
        """Return every number."""
        yield _gauge("broker_up", "Whether the master is connected to its broker: 1 or 0.", self._is_up())
        text = "Celery tasks that came into a state, by state."
        counts: dict[tuple[str, ...], float] = {
            (state.lower(),): count for state, count in self._counts().items()
        }
        yield _counters("celery_tasks", text, ["state"], counts)


def exposition_of(board: Board) -> Exposition:
    """Return all numbers of a master."""
    owners = board.owners
    of_fleet = FleetCollector(owners.fleet, owners.routes, owners.creates, owners.gateway.stats)
    return Exposition(
        of_fleet,
        EpisodesCollector(board.counters.totals),
        BrokerCollector(lambda: owners.broker().ok, owners.tasks.counts),
        ProgramCollector(),
        lines=of_fleet.worker_lines,
    )


class FleetCollector(Collector):
    """Environments, slots, creates, workers and forwarded calls; dead workers have no numbers of their own.

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
        seen = self._seen()
        yield from _slots([worker for worker in seen if worker.status is WorkerStatus.HEALTHY])
        statuses = Counter(worker.status for worker in seen)
        by_status = {str(status): statuses[status] for status in WorkerStatus}
        yield _gauges("workers", "Workers by status.", "status", by_status)
        yield from self._environments()
        yield from self._answered()
        yield from _calls(self._calls)

    def worker_lines(self) -> Iterator[str]:
        """Return the numbers of each worker that is not dead, as text; for the master's loop alone."""
        alive = [worker for worker in self._seen() if worker.status is not WorkerStatus.DEAD]
        for name, text, value_of in OF_A_WORKER:
            full_name = _named(name)
            yield f"# HELP {full_name} {text}\n# TYPE {full_name} gauge\n"
            for worker in alive:  # whose ids are letters, digits, '-' and '_': nothing to escape
                if (value := value_of(worker)) is not None:
                    yield f'{full_name}{{worker="{worker.record.registration.worker_id}"}} {float(value)}\n'

    def _seen(self) -> list[SeenWorker]:
        now, routes = self._clock(), self._routes
        return [
            SeenWorker(record, status, routes.count(record.registration.worker_id), now)
            for record, status in self._fleet.looked_at()
        ]

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
        for name, text, count in (
            ("environments_closed", "Environments that were created and closed.", self._routes.closed_count),
            ("environments_lost", "Environments whose worker was lost.", self._routes.lost_count),
        ):
            yield _counters(name, text, [], {(): count})
        waiting = self._creates.waiting
        for name, text, histogram in (
            ("create_duration_seconds", "From being asked for an environment to having it.", waiting.took),
            ("queue_wait_seconds", "Of that, until it was sent to a worker.", waiting.queued),
        ):
            yield _histogram(name, text, histogram)


class EpisodesCollector(Collector):
    """Resets and steps as workers count them, by which way ever they were reached.

    Args:
        totals: Counts up to a moment, in monotonic seconds.
        clock: Tells that moment.
    """

    def __init__(
        self, totals: Callable[[float], Totals], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._totals, self._clock = totals, clock

    def collect(self) -> Iterator[Metric]:
        """Return every number."""
        totals = self._totals(self._clock())
        for call in ("reset", "step"):
            text = f"How long the {call}s of all workers took, forwarded or not."
            yield _histogram(f"{call}_duration_seconds", text, totals.latencies[call])
        text = "Calls that were answered with a status of 500 or above, or did not reach their worker."
        yield _counters("errors", text, [], {(): totals.errors})


def _slots(usable: Iterable[SeenWorker]) -> Iterator[Metric]:
    slots, used = 0, 0
    for worker in usable:
        slots, used = slots + worker.record.registration.max_envs, used + worker.used
    yield _gauge("slots", "Environments that the healthy workers take at once.", slots)
    yield _gauge("slots_used", "Of these, those taken or reserved.", used)


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else round(percent / 100, 4)


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


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(_named(name), text, buckets=_buckets(histogram), sum_value=histogram.sum_s)


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
