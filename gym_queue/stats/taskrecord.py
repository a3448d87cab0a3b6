"""One task as its events tell: which attempt it is at, and what came of it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from gym_queue.stats.events import TASK_STATES, TEXTS, TaskEvent
from gym_queue.stats.nodes import ENDS

SHOWN_CHARS = 200
"""Of a text in a list."""
KEPT_MARKS = 24
"""Events of one task that are known again when they come twice."""
LOST = "LOST"
"""State of a task whose node went away, or does not carry it out, without a word about its end."""
STATES = (*TASK_STATES.values(), LOST)
RANK = {state: rank for rank, state in enumerate(TASK_STATES.values())}
"""Order of events of one node at the same time."""
BEGINNINGS = frozenset({"RECEIVED", "STARTED"})
NODE_PREFIX = "gym@"
"""Before the worker's id in the names of our Celery nodes."""
NO_ARGUMENTS = ("", "()", "[]")
LIST_FIELDS = (
    *("task_id", "env_id", "name", "state", "worker", "queue", "runner"),
    *("sent", "received", "started", "finished", "runtime_s", "retries"),
)
"""Fields of a row besides its texts."""


@dataclass(slots=True)
class TaskRecord:
    """One task; only TaskStats changes it. Times are Unix seconds, by the clock of who said so."""

    task_id: str
    first_seen: float
    """By our own clock."""
    name: str = ""
    state: str = "SENT"
    node: str = ""
    """Celery node of the latest attempt."""
    worker: str = ""
    """Its worker's id."""
    queue: str = ""
    runner: str = ""
    """Of the queue ``env.<runner>.<worker id>``."""
    sent: float | None = None
    received: float | None = None
    started: float | None = None
    finished: float | None = None
    runtime_s: float | None = None
    retries: int = 0
    args: str = ""
    kwargs: str = ""
    result: str = ""
    exception: str = ""
    traceback: str = ""
    cut: tuple[str, ...] = ()
    """Texts that were longer than what is kept of them."""
    at: float = 0.0
    """When its state was so, by its node's clock."""
    past: tuple[str, ...] = ()
    """Nodes of earlier attempts: late words of theirs change nothing."""
    marks: tuple[int, ...] = ()
    touched: int = 0
    """Orders records by their latest event."""

    @property
    def env_id(self) -> str:
        """The environment that it opens."""
        return self.task_id

    @property
    def size_bytes(self) -> int:
        """Memory of its texts."""
        return sum(sys.getsizeof(text) for name in TEXTS if (text := getattr(self, name)))

    def is_new(self, event: TaskEvent) -> bool:
        """Return whether this event did not come before; take note of it."""
        mark = hash((event.state, event.node, event.at))
        if mark in self.marks:
            return False
        self.marks = (*self.marks[1 - KEPT_MARKS :], mark)
        return True

    def apply(self, event: TaskEvent) -> None:
        """Take one event, whichever order they come in."""
        if event.name:
            self.name = event.name
        for text in ("args", "kwargs"):
            if text in event.texts:
                self._set_text(text, event)
        if event.state == "SENT":
            self._take_sent(event)
        elif self._is_of_attempt(event):
            self._advance(event)

    def lose(self) -> bool:
        """Take note that no end will be heard of; return whether that is news."""
        is_news = self.state not in ENDS and self.state != LOST
        if is_news:
            self.state = LOST
        return is_news

    def row(self) -> dict[str, Any]:
        """Return it as lists show it."""
        shown = {name: getattr(self, name) for name in LIST_FIELDS}
        args = self.kwargs if self.args in NO_ARGUMENTS else self.args
        texts = {"args": args, "result": self.result, "exception": self.exception}
        return shown | {name: text[:SHOWN_CHARS] for name, text in texts.items()}

    def detail(self) -> dict[str, Any]:
        """Return all that is kept of it."""
        texts = {name: getattr(self, name) for name in TEXTS}
        return {name: getattr(self, name) for name in LIST_FIELDS} | texts | {"cut": sorted(self.cut)}

    def _take_sent(self, event: TaskEvent) -> None:
        if self.state in (*ENDS, LOST) and self.sent is not None and (event.at or 0.0) > self.sent:
            self._begin_again("")  # sent to another worker after this one failed
            self.state = "SENT"
        self.sent = event.at if self.sent is None else max(self.sent, event.at or self.sent)
        self.queue = event.queue or self.queue
        if self.queue.startswith("env."):
            self.runner = self.queue.split(".")[1]

    def _is_of_attempt(self, event: TaskEvent) -> bool:
        """Return whether a node's word is about the latest attempt, which it may have begun."""
        if event.node == self.node:
            return True
        if self.node and (event.state not in BEGINNINGS or event.node in self.past):
            return False
        if self.node:
            self._begin_again(event.node)
        self.node, self.worker = event.node, event.node.removeprefix(NODE_PREFIX)
        return True

    def _begin_again(self, node: str) -> None:
        self.past = (*self.past[-8:], self.node) if node else ()
        self.node, self.worker, self.at = node, node.removeprefix(NODE_PREFIX), 0.0
        self.received = self.started = self.finished = self.runtime_s = None
        self.result = self.exception = self.traceback = ""
        self.state = "SENT"

    def _advance(self, event: TaskEvent) -> None:
        at = self.at if event.at is None else event.at
        if (at, RANK[event.state]) >= (self.at, RANK.get(self.state, -1)):
            self.state, self.at = event.state, at
        moment = {"RECEIVED": "received", "STARTED": "started", "RETRY": ""}.get(event.state, "finished")
        if moment:
            setattr(self, moment, event.at)
        if event.runtime_s is not None:
            self.runtime_s = event.runtime_s
        self.retries = max(self.retries + (event.state == "RETRY"), event.retries)
        for text in ("result", "exception", "traceback"):
            if text in event.texts:
                self._set_text(text, event)

    def _set_text(self, name: str, event: TaskEvent) -> None:
        setattr(self, name, event.texts[name])
        self.cut = (*(each for each in self.cut if each != name), *([name] if name in event.cut else []))
