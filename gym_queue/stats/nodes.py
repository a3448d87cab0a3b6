"""Celery's nodes as their events tell: who is there, what it does, what became of its tasks."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_queue.stats.events import NodeEvent, TaskEvent

KEPT_NODES = 5000
SILENT_S = 10.0
"""How long a node may say nothing before it counts as offline; three of its heartbeats where those take longer."""
SILENT_BEATS = 3
FORGET_AFTER_S = 600.0
"""How long a node that is offline is still known."""
DENIALS = 2
"""Heartbeats in a row that tell of fewer tasks than we know of, until we believe them."""
ENDS = frozenset({"SUCCESS", "FAILURE", "REVOKED", "REJECTED"})
OVER = ENDS | {"RETRY"}
"""States in which a node does not carry a task out any more."""


@dataclass(slots=True)
class Node:
    """One node; only NodeStats changes it."""

    heard: float
    """Monotonic seconds of its last event."""
    heard_at: float
    """Unix seconds of the same, by our clock."""
    counts: Counter[str] = field(default_factory=Counter)
    """Events by the state that they tell."""
    is_online: bool = True
    freq_s: float = 2.0
    load: tuple[float, float, float] | None = None
    pid: int | None = None
    software: str = ""
    said_at: float = 0.0
    """When it last said how much it does, by its own clock."""
    processed: int = 0
    """As it said, and what it has started since."""
    open: dict[str, float | None] = field(default_factory=dict)
    """Tasks that it has received and not ended → when it started them, by its own clock."""
    unseen: int = 0
    """Tasks that it carries out and whose start we have not heard of."""
    denials: int = 0
    """Heartbeats in a row that told of fewer tasks than we think it carries out."""


class NodeStats:
    """Bounded statistics of nodes. Not thread-safe: feed it from one thread.

    What a node says of itself holds (heartbeats: active, processed); events add what came since.

    Args:
        clock: Monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock, self._wall = clock, wall
        self._nodes: OrderedDict[str, Node] = OrderedDict()  # the one heard of last at the end
        self.version = 0
        """Grows when more has changed than that a node was heard of."""

    def of(self, name: str) -> dict[str, Any]:
        """Return what is known of one node (``gym@<worker id>``); of an unknown one, that it is not online.

        Returns:
            ``{online: bool, active, processed, succeeded, failed, retried, revoked, rejected: int,
            load: [1, 5, 15 min] | None, last_event_at: Unix seconds | None, pid: int | None, software: str | None}``
        """
        node = self._nodes.get(name)
        return _shown(node or Node(0.0, 0.0, is_online=False))

    def all(self) -> dict[str, dict[str, Any]]:
        """Return every node, as ``of`` shows it, by its name."""
        return {name: _shown(node) for name, node in self._nodes.items()}

    def take(self, event: NodeEvent) -> list[str]:
        """Take a node's word about itself.

        Returns:
            The tasks that it was carrying out, and by its word does not any more.
        """
        node = self._hear(event.node)
        self.version += not node.is_online or not event.is_online
        node.freq_s, node.load = event.freq_s, event.load or node.load
        node.software = event.software or node.software
        lost = _restarted(node) if event.pid is not None and node.pid not in (None, event.pid) else []
        node.pid = event.pid if event.pid is not None else node.pid
        node.is_online = event.is_online
        if not event.is_online:
            return lost + _closed(node)
        if event.active is not None and event.at is not None:
            before = _active(node), node.processed
            lost += _corrected(node, event.active, event.processed, event.at)
            self.version += before != (_active(node), node.processed)
        return lost

    def take_task(self, event: TaskEvent) -> None:
        """Take a node's word about one of its tasks."""
        node = self._hear(event.node)
        self.version += 1
        node.is_online = True
        node.counts[event.state] += 1
        if event.state in OVER:
            if node.open.pop(event.task_id, None) is None and node.unseen:
                node.unseen -= 1
        elif event.state == "STARTED":
            started = node.said_at if event.at is None else event.at
            node.open[event.task_id] = started
            node.processed += started > node.said_at
        else:
            node.open.setdefault(event.task_id, None)

    def tick(self) -> list[str]:
        """Count silent nodes as offline, and forget those that are for long.

        Returns:
            The tasks that they were carrying out.
        """
        now = self._clock()
        lost: list[str] = []
        for name, node in list(self._nodes.items()):
            silent_s = now - node.heard
            if silent_s > FORGET_AFTER_S:
                lost += _closed(self._nodes.pop(name))
                self.version += 1
            elif node.is_online and silent_s > max(SILENT_S, SILENT_BEATS * node.freq_s):
                node.is_online = False
                self.version += 1
                lost += _closed(node)
        return lost

    def facts(self) -> dict[str, Any]:
        """Return what shall outlive this process, JSON-ready."""
        return {
            name: [node.heard_at, dict(node.counts), node.pid, node.software]
            for name, node in self._nodes.items()
        }

    def restore(self, facts: Mapping[str, Any], open_tasks: Iterable[tuple[str, str]]) -> None:
        """Go on from earlier facts: the nodes are offline until they are heard of.

        Args:
            facts: As ``facts`` returned them.
            open_tasks: Node, and the id of a task that it was carrying out.
        """
        now, wall = self._clock(), self._wall()
        nodes: dict[str, Node] = {}
        for name, (heard_at, counts, pid, software) in facts.items():
            age_s = min(max(wall - heard_at, 0.0), FORGET_AFTER_S)
            known = Counter({str(state): int(count) for state, count in counts.items()})
            nodes[name] = Node(now - age_s, heard_at, known, is_online=False, pid=pid, software=str(software))
        for name, task_id in open_tasks:
            if name in nodes:
                nodes[name].open[task_id] = 0.0
        self._nodes = OrderedDict(sorted(nodes.items(), key=lambda each: each[1].heard))

    def _hear(self, name: str) -> Node:
        now, wall = self._clock(), self._wall()
        node = self._nodes.get(name)
        if node is None:
            if len(self._nodes) >= KEPT_NODES:
                self._nodes.popitem(last=False)
            node = self._nodes[name] = Node(now, wall)
            self.version += 1
        else:
            self._nodes.move_to_end(name)
        node.heard, node.heard_at = now, wall
        return node


def _active(node: Node) -> int:
    return node.unseen + sum(started is not None for started in node.open.values())


def _shown(node: Node) -> dict[str, Any]:
    counts = node.counts
    return {
        "online": node.is_online,
        "active": _active(node) if node.is_online else 0,
        "processed": node.processed,
        "succeeded": counts["SUCCESS"],
        "failed": counts["FAILURE"],
        "retried": counts["RETRY"],
        "revoked": counts["REVOKED"],
        "rejected": counts["REJECTED"],
        "load": list(node.load) if node.load else None,
        "last_event_at": node.heard_at or None,
        "pid": node.pid,
        "software": node.software or None,
    }


def _closed(node: Node) -> list[str]:
    """Let go of all that a node has; return it."""
    lost = list(node.open)
    node.open.clear()
    node.unseen = 0
    return lost


def _restarted(node: Node) -> list[str]:
    """Begin anew with another process of the same name; return what the one before had."""
    node.said_at, node.processed = 0.0, 0
    return _closed(node)


def _corrected(node: Node, active: int, processed: int | None, at: float) -> list[str]:
    """Take over how much a node does by its own word; return the tasks that it cannot be carrying out."""
    earlier = sorted((started, task_id) for task_id, started in node.open.items() if started is not None)
    known = [task_id for started, task_id in earlier if started <= at]
    surplus = max(0, len(known) - active)
    node.denials = node.denials + 1 if surplus else 0
    # A heartbeat may overtake the word of a task's end: the next one does not.
    lost = known[:surplus] if node.denials >= DENIALS else []
    for task_id in lost:
        del node.open[task_id]
    node.unseen = max(0, active - len(known))
    if processed is not None:
        node.processed = processed + len(earlier) - len(known)
    node.said_at = at
    return lost
