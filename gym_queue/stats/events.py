"""Celery's events, parsed once: what is kept of them is cut to size and bears no secret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gym_queue.stats.redaction import redact

TEXT_CHARS = 64 * 1024
"""Most of one text that is kept."""
NAME_CHARS = 256
MOST = 2**53
"""What JSON's readers still take as it is; not-a-number and infinity are beyond it."""
TASK_STATES = {
    "task-sent": "SENT",
    "task-received": "RECEIVED",
    "task-started": "STARTED",
    "task-retried": "RETRY",
    "task-succeeded": "SUCCESS",
    "task-failed": "FAILURE",
    "task-revoked": "REVOKED",
    "task-rejected": "REJECTED",
}
"""Type of an event → the state that it tells."""
NODE_EVENTS = ("worker-online", "worker-heartbeat", "worker-offline")
TEXTS = ("args", "kwargs", "result", "exception", "traceback")


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """Something happened to a task."""

    task_id: str
    state: str
    node: str
    """Who says so: a Celery node, or the sender of the task."""
    at: float | None
    """Unix seconds, by the clock of who says so."""
    name: str = ""
    queue: str = ""
    runtime_s: float | None = None
    retries: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)
    """Those of TEXTS that it bears."""
    cut: tuple[str, ...] = ()
    """The texts that were longer."""


@dataclass(frozen=True, slots=True)
class NodeEvent:
    """A Celery node speaks of itself."""

    node: str
    is_online: bool
    at: float | None
    """Unix seconds, by its own clock."""
    freq_s: float = 2.0
    """How often it speaks."""
    active: int | None = None
    processed: int | None = None
    load: tuple[float, float, float] | None = None
    """Load averages of 1, 5 and 15 min."""
    pid: int | None = None
    software: str = ""


def parse_event(raw: Mapping[str, Any]) -> TaskEvent | NodeEvent | None:
    """Return one event of Celery's stream; None for one that is about neither tasks nor nodes, or no such event."""
    kind = raw.get("type")
    if not isinstance(kind, str):
        return None
    state = TASK_STATES.get(kind)
    if state is not None:
        return _task_event(state, raw) if raw.get("uuid") else None
    return _node_event(kind, raw) if kind in NODE_EVENTS and raw.get("hostname") else None


def _task_event(state: str, raw: Mapping[str, Any]) -> TaskEvent:
    texts, cut = {}, []
    for name in TEXTS:
        value = raw.get(name)
        if value is None:
            continue
        text = value if isinstance(value, str) else str(value)
        if len(text) > TEXT_CHARS:
            cut.append(name)
        texts[name] = redact(_text(text, TEXT_CHARS))
    return TaskEvent(
        _text(raw["uuid"]),
        state,
        _text(raw.get("hostname")),
        _number(raw.get("timestamp")),
        _text(raw.get("name")),
        _text(raw.get("queue")),
        _number(raw.get("runtime")),
        _count(raw.get("retries")) or 0,
        texts,
        tuple(cut),
    )


def _node_event(kind: str, raw: Mapping[str, Any]) -> NodeEvent:
    load = raw.get("loadavg")
    numbers = [_number(each) for each in load] if isinstance(load, list | tuple) else []
    known = [number for number in numbers if number is not None]
    software = " ".join(str(raw[name]) for name in ("sw_ident", "sw_ver", "sw_sys") if raw.get(name))
    return NodeEvent(
        _text(raw["hostname"]),
        kind != "worker-offline",
        _number(raw.get("timestamp")),
        freq_s=_number(raw.get("freq")) or 2.0,
        active=_count(raw.get("active")),
        processed=_count(raw.get("processed")),
        load=(known[0], known[1], known[2]) if len(known) == 3 else None,
        pid=_count(raw.get("pid")),
        software=_text(software),
    )


def _text(value: object, most: int = NAME_CHARS) -> str:
    """Return a text that UTF-8 can have: what a program printed may hold half of a character."""
    return str(value or "")[:most].encode("utf-8", "replace").decode()


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and -MOST < value < MOST else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value < MOST else None
