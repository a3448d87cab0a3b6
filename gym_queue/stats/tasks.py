"""Celery's event stream, kept as Flower-style statistics: counts by state and by worker, the latest tasks."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

KEPT_TASKS = 1000
KEPT_WORKERS = 1000
STATES = {
    "task-sent": "SENT",
    "task-received": "RECEIVED",
    "task-started": "STARTED",
    "task-retried": "RETRY",
    "task-succeeded": "SUCCESS",
    "task-failed": "FAILURE",
    "task-revoked": "REVOKED",
    "task-rejected": "REJECTED",
}
RANK = {state: rank for rank, state in enumerate(STATES.values())}
"""Events of two senders may arrive out of order: a task never goes back to an earlier state."""
COUNTED = ("RECEIVED", "STARTED", "SUCCESS", "FAILURE")


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task as its events tell."""

    task_id: str
    name: str = ""
    state: str = "SENT"
    worker: str = ""
    queue: str = ""
    sent: float | None = None
    """Unix seconds, as the others."""
    received: float | None = None
    started: float | None = None
    finished: float | None = None
    runtime_s: float | None = None
    exception: str = ""


class TaskStats:
    """Bounded statistics of tasks. Not thread-safe: feed it from one thread."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[str, TaskView] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._workers: OrderedDict[str, Counter[str]] = OrderedDict()

    def take(self, event: Mapping[str, Any]) -> None:
        """Take one event of Celery's stream; those that are not about tasks are passed over."""
        state = STATES.get(str(event.get("type")))
        if state is None or "uuid" not in event:
            return
        self._counts[state] += 1
        worker = str(event.get("hostname", ""))
        if state in COUNTED:
            self._count_worker(worker, state)
        task_id = str(event["uuid"])
        task = self._tasks.pop(task_id, TaskView(task_id))
        self._tasks[task_id] = _apply(task, state, worker, event)
        while len(self._tasks) > KEPT_TASKS:
            self._tasks.popitem(last=False)

    def summary(self) -> dict[str, Any]:
        """Return counts by state, counts by worker, and the latest tasks, newest first."""
        return {
            "counts": {state: self._counts.get(state, 0) for state in STATES.values()},
            "workers": {
                name: {
                    "processed": counts["RECEIVED"],
                    "active": max(0, counts["STARTED"] - counts["SUCCESS"] - counts["FAILURE"]),
                    "succeeded": counts["SUCCESS"],
                    "failed": counts["FAILURE"],
                }
                for name, counts in self._workers.items()
            },
            "latest": [asdict(task) for task in list(reversed(self._tasks.values()))[:100]],
        }

    def _count_worker(self, worker: str, state: str) -> None:
        counts = self._workers.pop(worker, Counter())
        counts[state] += 1
        self._workers[worker] = counts
        while len(self._workers) > KEPT_WORKERS:
            self._workers.popitem(last=False)


def _apply(task: TaskView, state: str, worker: str, event: Mapping[str, Any]) -> TaskView:
    at = event.get("timestamp")
    fields: dict[str, Any] = {}
    if RANK[state] >= RANK[task.state]:
        fields["state"] = state
    if state != "SENT":
        fields["worker"] = worker
    for name in ("name", "queue", "exception"):
        if event.get(name):
            fields[name] = str(event[name])[:500]
    moment = {"SENT": "sent", "RECEIVED": "received", "STARTED": "started"}.get(state, "finished")
    fields[moment] = at
    if event.get("runtime") is not None:
        fields["runtime_s"] = float(event["runtime"])
    return replace(task, **fields)
