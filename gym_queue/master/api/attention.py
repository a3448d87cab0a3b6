"""What an operator must look at: each as a sentence of what, where and what to do, the most urgent first."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from gym_queue.master.fleet import STARTING_S
from gym_queue.master.records import WorkerRecord
from gym_queue.master.waiting import Waiting
from gym_queue.protocol.fleet import WorkerStatus
from gym_queue.version import __version__

MOST = 20
OF_A_KIND = 5
"""Workers that are named before the others are but counted."""
STUCK_S = 60.0
SKEW_S = 30.0
ERROR_SHARE = 0.05
FEW_CALLS = 20
"""Fewer calls in a minute tell nothing of how many fail."""
SHOWN_CHARS = 300
"""Of a reason."""
Notice = dict[str, str]


@dataclass(frozen=True, slots=True)
class BrokerState:
    """The broker, as the master's own connection to it knows."""

    ok: bool
    error: str | None
    kind: str
    """redis, amqp, embedded, none, .."""


def notices(
    records: Sequence[tuple[WorkerRecord, WorkerStatus]],
    waiting: Iterable[Waiting],
    broker: BrokerState,
    calls: tuple[int, int],
    *,
    now: float,
) -> list[Notice]:
    """Return what needs attention.

    Args:
        records: Every worker, with its status.
        waiting: The creates that wait for a slot.
        broker: The broker.
        calls: Calls of the last minute, and how many of them failed.
        now: Monotonic seconds, as the workers' and creates' times are.
    """
    found = [
        *_of_broker(broker),
        *_of_workers(records, now),
        *_of_queue(waiting, now),
        *_of_calls(*calls),
        *_of_versions(records),
    ]
    return found[:MOST]


def why_sick(record: WorkerRecord, status: WorkerStatus, now: float) -> str | None:
    """Return why a worker takes nothing; None for one that is healthy."""
    if status is WorkerStatus.HEALTHY:
        return None
    if status is WorkerStatus.DRAINING:
        return "it drains: it takes no new environments, and ends those it has"
    silent_since = _clock_time(record.seen_at)
    if status is WorkerStatus.DEAD:
        return f"dead: nothing was heard of it since {silent_since}; its environments are lost. See its log, start it again"
    if not record.has_beaten and now - record.seen > STARTING_S:
        return "it registered and never sent a heartbeat: see its log, and whether it reaches this master"
    if record.unanswered:
        return f"it does not answer at {record.url}: see whether it runs, and whether this master reaches it"
    return f"silent since {silent_since}: see its log, and the network between it and this master"


def skew_s(record: WorkerRecord) -> float | None:
    """Return how many seconds a worker's clock is ahead of ours; None when it does not say."""
    said = (record.metrics or {}).get("clock")
    return float(said) - record.seen_at if isinstance(said, int | float) and abs(said) < 1e12 else None


def _of_broker(broker: BrokerState) -> Iterator[Notice]:
    if not broker.ok:
        why = (broker.error or "not connected yet")[:SHOWN_CHARS]
        text = f"The {broker.kind} broker is away ({why}): creates wait until it is back, steps go on. See that it runs, or --broker-url."
        yield _notice("broker_down", text, "?view=broker")


def _of_workers(records: Sequence[tuple[WorkerRecord, WorkerStatus]], now: float) -> Iterator[Notice]:
    sick = (WorkerStatus.DEAD, WorkerStatus.UNHEALTHY)
    for status in sick:
        these = [record for record, its in records if its is status]
        text_of = partial(_sick_text, status, now)
        yield from _each(f"worker_{status}", these, str(status), text_of)
    skewed = [r for r, status in records if status not in sick and abs(skew_s(r) or 0.0) > SKEW_S]
    yield from _each("clock_skew", skewed, None, _skew_text)


def _of_queue(waiting: Iterable[Waiting], now: float) -> Iterator[Notice]:
    stuck = [each for each in waiting if now - each.since > STUCK_S]
    if not stuck:
        return
    oldest = min(stuck, key=lambda each: each.since)
    reasons = [f"{where}: {why}" for where, why in list(oldest.why_not.items())[:2]]
    why = "; ".join(reasons) or "it has not been placed yet"
    minutes = int((now - oldest.since) // 60)
    more = f" and {len(stuck) - 1} more" if len(stuck) > 1 else ""
    text = (
        f"The create of {oldest.env_id}{more} has waited for more than {minutes} min for {oldest.awaits} "
        f"({why[:SHOWN_CHARS]}): add workers that can run it, or cancel it."
    )
    yield _notice("queue_stuck", text, "?view=queue")


def _of_calls(calls: int, failures: int) -> Iterator[Notice]:
    if failures >= FEW_CALLS * ERROR_SHARE and calls + failures >= FEW_CALLS:
        share = failures / max(calls, failures)
        if share >= ERROR_SHARE:
            text = f"{share:.0%} of the last minute's calls failed: see which workers have errors, and their logs."
            yield _notice("errors", text, "?view=workers&sort=-errors")


def _of_versions(records: Sequence[tuple[WorkerRecord, WorkerStatus]]) -> Iterator[Notice]:
    other = [
        record
        for record, status in records
        if status is not WorkerStatus.DEAD and record.registration.version not in ("", __version__)
    ]
    yield from _each(
        "version",
        other,
        None,
        lambda record: f"version {record.registration.version}, the master {__version__}: install the same",
    )


def _each(
    kind: str, records: Sequence[WorkerRecord], status: str | None, text_of: Callable[[WorkerRecord], str]
) -> Iterator[Notice]:
    for record in records[:OF_A_KIND]:
        worker_id, host = record.registration.worker_id, record.registration.hostname
        where = f" on {host}" if host else ""
        yield _notice(kind, f"Worker {worker_id}{where}: {text_of(record)}.", f"?view=workers&q={worker_id}")
    if len(records) > OF_A_KIND:
        link = "?view=workers" if status is None else f"?view=workers&status={status}"
        yield _notice(kind, f"The same of {len(records) - OF_A_KIND} more workers.", link)


def _sick_text(status: WorkerStatus, now: float, record: WorkerRecord) -> str:
    return str(why_sick(record, status, now))


def _skew_text(record: WorkerRecord) -> str:
    ahead_s = skew_s(record) or 0.0
    way = "ahead of" if ahead_s > 0 else "behind"
    return f"its clock is about {_rounded(abs(ahead_s))} {way} the master's: let NTP set both"


def _rounded(seconds: float) -> str:
    return f"{round(seconds / 60)} min" if seconds >= 90 else f"{round(seconds, -1):.0f} s"


def _clock_time(at: float) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(at))


def _notice(kind: str, text: str, link: str) -> Notice:
    return {"kind": kind, "text": text, "link": link}


def no_broker() -> BrokerState:
    """Return the state of a master that has none."""
    return BrokerState(ok=True, error=None, kind="none")


def shown_broker(state: BrokerState) -> dict[str, Any]:
    """Return the broker as the overview shows it."""
    return {"ok": state.ok, "error": state.error, "kind": state.kind}
