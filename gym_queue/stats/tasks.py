"""Celery's event stream, kept as Flower-style statistics: counts by state and by node, the latest tasks."""

from __future__ import annotations

import heapq
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import fields
from itertools import islice
from operator import attrgetter
from typing import Any

from gym_queue.stats.events import TASK_STATES, TEXTS, NodeEvent, TaskEvent, parse_event
from gym_queue.stats.nodes import ENDS, NodeStats
from gym_queue.stats.taskrecord import STATES as STATES
from gym_queue.stats.taskrecord import TaskRecord

KEPT_TASKS = 10_000
KEPT_BYTES = 32 * 2**20
"""Memory of all tasks' texts."""
LATEST = 100
RESTORED_TASKS = 1000
RESTORED_CHARS = 4000
"""Of one text of a task that outlives this process."""
FORMAT = 1
"""Of what is written down."""
TRANSIENT = ("marks", "touched")


class TaskStats:
    """Bounded statistics of tasks. Not thread-safe: feed it from one thread.

    Args:
        clock: Monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._wall = wall
        self.nodes = NodeStats(clock=clock, wall=wall)
        self._tasks: OrderedDict[str, TaskRecord] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._size_bytes = 0
        self.version = 0
        """Grows with every change of the tasks and of their counts."""

    def take(self, raw: Mapping[str, Any]) -> None:
        """Take one event of Celery's stream; those that are about neither tasks nor nodes are passed over."""
        event = parse_event(raw)
        if event is not None:
            self.apply(event)

    def apply(self, event: TaskEvent | NodeEvent) -> None:
        """Take one event that is parsed."""
        if isinstance(event, NodeEvent):
            self._lose(self.nodes.take(event))
            return
        task = self._tasks.get(event.task_id)
        if task is None:
            task = self._tasks[event.task_id] = TaskRecord(event.task_id, self._wall())
        elif not task.is_new(event):
            return
        else:
            self._size_bytes -= task.size_bytes
        if not task.marks:
            task.is_new(event)
        self.version += 1
        task.touched = self.version
        task.apply(event)
        self._size_bytes += task.size_bytes
        self._counts[event.state] += 1
        if event.state != "SENT":
            self.nodes.take_task(event)
        self._let_old_ones_go()

    def tick(self) -> None:
        """Count silent nodes as offline, with what they were doing."""
        self._lose(self.nodes.tick())

    def all(self) -> list[TaskRecord]:
        """Return the tasks that are kept, those that came last first."""
        return list(reversed(self._tasks.values()))

    def find(self, task_id: str) -> TaskRecord | None:
        """Return one task; None when it is not kept, or never was."""
        return self._tasks.get(task_id)

    def counts(self) -> dict[str, int]:
        """Return how many events there were by the state that they tell."""
        return {state: self._counts[state] for state in TASK_STATES.values()}

    def summary(self) -> dict[str, Any]:
        """Return counts by state, every node, and the latest tasks, newest first."""
        latest = heapq.nlargest(LATEST, self._tasks.values(), key=attrgetter("touched"))
        return {
            "counts": self.counts(),
            "workers": self.nodes.all(),
            "latest": [{**task.row(), "worker": task.node} for task in latest],
        }

    def facts(self) -> dict[str, Any]:
        """Return what shall outlive this process: small, and made of what does not change any more."""
        kept = _names()
        get = attrgetter(*kept)
        newest = islice(reversed(self._tasks.values()), RESTORED_TASKS)
        return {
            "format": FORMAT,
            "counts": dict(self._counts),
            "nodes": self.nodes.facts(),
            "fields": kept,
            "tasks": [get(task) for task in newest],
        }

    def restore(self, facts: Mapping[str, Any]) -> None:
        """Go on from facts of an earlier process.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: They are not facts of this version; nothing is taken over.
        """
        if facts["format"] != FORMAT:
            raise ValueError(f"format {facts['format']} is not {FORMAT}")
        tasks = [_task_of(dict(zip(facts["fields"], row, strict=True))) for row in reversed(facts["tasks"])]
        counts = Counter({str(state): int(count) for state, count in facts["counts"].items()})
        open_tasks = [(task.node, task.task_id) for task in tasks if task.node and task.state not in ENDS]
        self.nodes.restore(facts["nodes"], open_tasks)
        self._counts = counts
        self._tasks = OrderedDict((task.task_id, task) for task in tasks)
        self._size_bytes = sum(task.size_bytes for task in tasks)
        self.version += 1

    def _lose(self, task_ids: list[str]) -> None:
        for task_id in task_ids:
            task = self._tasks.get(task_id)
            self.version += task is not None and task.lose()

    def _let_old_ones_go(self) -> None:
        while len(self._tasks) > KEPT_TASKS or (self._size_bytes > KEPT_BYTES and len(self._tasks) > 1):
            _, task = self._tasks.popitem(last=False)
            self._size_bytes -= task.size_bytes


def shorten(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return a TaskStats' facts with long texts cut; for another thread than the loop's."""
    names = list(facts["fields"])
    cut_at, texts_at = names.index("cut"), [names.index(name) for name in TEXTS]

    def short(row: tuple[Any, ...]) -> list[Any]:
        values = list(row)
        longer = {names[at] for at in texts_at if len(values[at]) > RESTORED_CHARS}
        for at in texts_at:
            values[at] = values[at][:RESTORED_CHARS]
        values[cut_at] = sorted({*values[cut_at], *longer})
        return values

    return {**facts, "tasks": [short(row) for row in facts["tasks"]]}


def _task_of(raw: dict[str, Any]) -> TaskRecord:
    """Return a task that was written down.

    Raises:
        ValueError, TypeError: It is no such task.
    """
    for name in ("cut", "past"):
        raw[name] = tuple(str(each) for each in raw[name])
    task = TaskRecord(**raw)
    for each in fields(TaskRecord):
        value, default = getattr(task, each.name), each.default
        is_text = isinstance(default, str) or each.name == "task_id"
        wanted = (str,) if is_text else (int, float) if default is not None else (int, float, type(None))
        if not isinstance(value, tuple if isinstance(default, tuple) else wanted):
            raise TypeError(f"{each.name} is {type(value).__name__}")
    if task.state not in STATES:
        raise ValueError(f"there is no state {task.state}")
    return task


def _names() -> list[str]:
    """Return the fields that are written down."""
    return [each.name for each in fields(TaskRecord) if each.name not in TRANSIENT]
