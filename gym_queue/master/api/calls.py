"""What the dashboard's pages read a master by, for its OpenAPI document."""

from __future__ import annotations

from typing import Any

from gym_queue import errors
from gym_queue.master.api import envrows, workerrows
from gym_queue.master.api.replies import (
    EnvsReply,
    FleetReply,
    HistoryReply,
    Masters,
    Me,
    OverviewReply,
    QueueReply,
    WorkersReply,
)
from gym_queue.master.api.sampler import COLUMNS
from gym_queue.protocol.calls import ENV_ID, Call, Schema
from gym_queue.web.listing import LIST_PARAMETERS, filter_parameter, sort_parameter

PAGE = {"as_of": 1767225600.0, "version": 7, "total": 1, "matched": 1, "offset": 0}
LAST_EVENT: Schema = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The last event that was received: what was not missed is not sent again.",
    "schema": {"type": "string"},
}
EVENTS: Schema = {
    "description": "Server-sent events without end: overview and changed",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
LATENCY = {"count": 12, "p50_ms": 1.6, "p95_ms": 3.2, "p99_ms": 6.4}
OVERVIEW_EXAMPLE: dict[str, object] = {
    "as_of": 1767225600.0,
    "started_at": 1767222000.0,
    "version": "0.1.0",
    "broker": {"ok": True, "error": None, "kind": "embedded"},
    "workers": {"total": 1, "healthy": 1, "unhealthy": 0, "draining": 0, "dead": 0},
    "slots": {"total": 4, "used": 1},
    "envs": {"queued": 0, "creating": 0, "ready": 1, "closing": 0},
    "queue": {"length": 0, "oldest_s": None},
    "rates": {"creates_per_s": 0.1, "steps_per_s": 3.2, "resets_per_s": 0.1, "errors_per_s": 0.0},
    "totals": {"created": 9, "closed": 8, "lost": 0, "failed": 0, "steps": 212, "errors": 0},
    "window_s": 600.0,
    "latency": {"create": LATENCY, "reset": LATENCY, "step": LATENCY},
    "attention": [],
}
WORKER_EXAMPLE = {
    "worker_id": "worker-1",
    "hostname": "node7",
    "url": "http://10.0.0.7:5900",
    "status": "healthy",
    "version": "0.1.0",
    "runners": ["local"],
    "slots": 4,
    "used": 1,
    "starting": 0,
    "cpu_percent": 12.0,
    "memory_percent": 40.0,
    "heartbeat_age_s": 1.2,
    "registered_at": 1767222000.0,
    "draining": False,
    "celery": {
        "online": True,
        "active": 0,
        "processed": 9,
        "succeeded": 9,
        "failed": 0,
        "retried": 0,
        "revoked": 0,
        "rejected": 0,
        "load": [0.1, 0.2, 0.1],
        "last_event_at": 1767225600.0,
        "pid": 4711,
        "software": "py-celery 5.5.0 Linux",
    },
    "requests": 230,
    "errors": 0,
    "resources": {"cpu": 8.0, "mem_gb": 31.2, "gpu": None},
    "why": None,
}
ENV_EXAMPLE = {
    "env_id": ENV_ID,
    "state": "ready",
    "worker_id": "worker-1",
    "since": 1767225500.0,
    "age_s": 100.0,
    "env": "terminal_env",
    "task_id": "largest_file",
    "runner": "local",
    "owner": None,
    "metadata": {},
}
QUEUED_EXAMPLE = {
    "env_id": ENV_ID,
    "position": 0,
    "priority": 0,
    "capability": "docker",
    "metadata": {},
    "waiting_s": 3.5,
    "waiting_since": 1767225596.5,
    "why_not": {"worker-1": "does not run docker"},
    "why_not_total": 1,
    "clients": 1,
    "env": "desktop_env",
    "task_id": None,
    "owner": "ann",
    "waiting_for": "a free slot for docker",
}


def _read(path: str, summary: str, reply: Any, example: Any, *parameters: Schema) -> Call:
    refusals = (errors.RequestInvalid,) if parameters else ()
    return Call(
        method="GET",
        path=path,
        summary=summary,
        reply=reply,
        reply_example=example,
        parameters=parameters,
        errors=refusals,
    )


API_CALLS = (
    _read(
        "/api/me",
        "Who asks, and whom.",
        Me,
        {
            "role": "cluster",
            "name": None,
            "may_act": True,
            "master": {"version": "0.1.0", "started_at": 1767222000.0, "as_of": 1767225600.0},
        },
    ),
    _read(
        "/api/masters",
        "The masters that can be looked at here.",
        Masters,
        [{"name": "node1:5800", "url": "", "base": ""}],
    ),
    _read("/api/overview", "The fleet at a glance.", OverviewReply, OVERVIEW_EXAMPLE),
    _read(
        "/api/history",
        "The last hour in columns.",
        HistoryReply,
        {
            "as_of": 1767225600.0,
            "step_s": 10,
            "series": {"at": [1767225600.0], **{name: [0.0] for name in COLUMNS}},
        },
    ),
    _read(
        "/api/fleet",
        "Every worker in columns, for a map.",
        FleetReply,
        {
            "as_of": 1767225600.0,
            "total": 1,
            "workers": {
                "worker_id": ["worker-1"],
                "status": ["healthy"],
                "used": [1],
                "slots": [4],
                "why": [""],
            },
        },
    ),
    Call(
        method="GET",
        path="/api/live",
        summary="The overview, and which lists have changed, as server-sent events.",
        parameters=(LAST_EVENT,),
        others={"200": EVENTS},
        errors=(errors.QuotaExceeded, errors.MasterRecovering),
    ),
    _read(
        "/api/workers",
        "The workers, by the page.",
        WorkersReply,
        {**PAGE, "rows": [WORKER_EXAMPLE]},
        *LIST_PARAMETERS,
        sort_parameter(workerrows.SORTS),
        *(
            filter_parameter(name, f"Of workers with this {name}.", choices=choices)
            for name, choices in workerrows.CHOICES.items()
        ),
    ),
    _read(
        "/api/envs",
        "The environments, by the page.",
        EnvsReply,
        {**PAGE, "rows": [ENV_EXAMPLE]},
        *LIST_PARAMETERS,
        sort_parameter(envrows.ENV_SORTS),
        filter_parameter("state", "In this state.", choices=envrows.STATES),
        filter_parameter("worker", "On this worker."),
        filter_parameter("owner", "Of this named token."),
    ),
    _read(
        "/api/queue",
        "The creates that wait for a slot, by the page.",
        QueueReply,
        {**PAGE, "rows": [QUEUED_EXAMPLE]},
        *LIST_PARAMETERS,
        sort_parameter(envrows.QUEUE_SORTS),
    ),
)
