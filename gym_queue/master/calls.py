"""What the master answers itself, for its OpenAPI document."""

from __future__ import annotations

from dataclasses import replace

from gym_queue import errors
from gym_queue.errors import GymQueueError
from gym_queue.master import replies
from gym_queue.master.api.calls import API_CALLS
from gym_queue.master.brokercalls import BROKER_CALLS
from gym_queue.master.taskcalls import TASK_CALLS
from gym_queue.protocol import fleet as wire
from gym_queue.protocol.calls import CREATE, ENV_CALLS, ENV_ID, SHOW, Call, Schema
from gym_queue.protocol.episodes import MASTER_EPISODE_CALLS
from gym_queue.protocol.hand import HAND_CALLS
from gym_queue.protocol.login import Login
from gym_queue.protocol.logs import ENV_LOGS, MASTER_LOGS
from gym_queue.protocol.watching import WATCH_CALLS

WORKER_ERRORS = (errors.RequestMalformed, errors.RequestInvalid, errors.TooLarge)
READ_ERRORS = (errors.RequestMalformed, errors.TooLarge, errors.RequestTimeout, errors.TooManyConnections)
"""Of every call, before it is known which: its head is not HTTP, too long, or too slow."""
GUARDED = (errors.Unauthorized, errors.Forbidden, *READ_ERRORS)
"""Of every call that needs a token."""
FORWARDED = (
    *(errors.MasterRecovering, errors.MasterUnreachable, errors.WorkerUnreachable),
    *(errors.BadReply, errors.GatewayTimeout, errors.EnvNotFound, errors.EnvLost, errors.RequestInvalid),
)
"""Of every call that goes on to a worker."""
SECRET: Schema = {
    "name": wire.SECRET_HEADER,
    "in": "header",
    "description": "What the registration's reply gave; asked of workers that said they would bear it.",
    "schema": {"type": "string"},
}
NUMBERS: Schema = {
    "description": "The fleet's numbers, in Prometheus' text format",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}
HTML: Schema = {
    "description": "The dashboard's page",
    "content": {"text/html": {"schema": {"type": "string"}}},
}

TO_THE_PAGE: Schema = {
    "description": "The way to the page, of whoever sent a token: it shall not stay in the address bar",
    "headers": {"Location": {"required": True, "schema": {"type": "string"}}},
}
TOKEN: Schema = {
    "name": "token",
    "in": "query",
    "description": "The cluster token, traded for a cookie.",
    "schema": {"type": "string"},
}


def _part(media_type: str) -> Schema:
    """Return the response that is a file of the page."""
    return {"description": "The file", "content": {media_type: {"schema": {"type": "string"}}}}


COUNTS = {
    "total_workers": 1,
    "healthy_workers": 1,
    "unhealthy_workers": 0,
    "dead_workers": 0,
    "total_envs": 1,
    "total_capacity": 4,
}
CLUSTER_EXAMPLE = {
    **COUNTS,
    "draining_workers": 0,
    "workers": [],
    "hostname_stats": [{"hostname": "node7", "workers": 1, "envs": 1, "capacity": 4}],
    "env_mappings": {ENV_ID: "worker-1"},
    "queue_length": 0,
    "aggregated": {
        "total_requests": 12,
        "total_errors": 0,
        "error_rate": 0.0,
        "total_envs_created": 1,
        "total_envs_closed": 0,
        "endpoint_stats": {},
        "activity_log": [],
        "active_envs": {},
        "timeline": [],
    },
}
CREATE_ERRORS = (
    *(errors.QuotaExceeded, errors.BrokerUnavailable, errors.MasterUnreachable, errors.MasterRecovering),
    *(errors.WorkerUnreachable, errors.BadReply, errors.GatewayTimeout),
)
"""Of a create that a master passes on."""
STATUS_CALLS = (
    Call(
        method="GET",
        path="/health",
        summary="Whether the master serves, and how much of a fleet it has.",
        reply=replies.MasterHealth,
        reply_example={"status": "healthy", "role": "master", "uptime_sec": 60.0, **COUNTS},
        is_open=True,
    ),
    Call(
        method="GET",
        path="/api/metrics",
        summary="The fleet, for monitoring.",
        reply=replies.Metrics,
        reply_example={
            "master": {"uptime_sec": 60.0, "start_time": 1767225600.0},
            "cluster": CLUSTER_EXAMPLE,
        },
    ),
    Call(
        method="GET",
        path="/metrics",
        summary="The fleet's numbers, for Prometheus.",
        others={"200": NUMBERS},
    ),
    *API_CALLS,
    *TASK_CALLS,
    *BROKER_CALLS,
    Call(
        method="GET",
        path="/queue",
        summary="The creates that wait for a slot, the next one first.",
        reply=replies.QueueView,
        reply_example={"waiting": [], "total": 0},
    ),
    *(
        Call(
            method="GET",
            path=path,
            summary="The dashboard's page.",
            parameters=(TOKEN,),
            others={"200": HTML, "303": TO_THE_PAGE},
            is_open=True,
        )
        for path in ("/", "/dashboard")
    ),
    *(
        Call(
            method="GET",
            path=f"/dashboard/{name}",
            summary="A part of the dashboard's page.",
            others={"200": _part(media_type)},
            is_open=True,
        )
        for name, media_type in (("app.js", "text/javascript"), ("style.css", "text/css"))
    ),
    Call(
        method="POST",
        path="/dashboard/login",
        summary="Trade the cluster token for the dashboard's cookie.",
        body=Login,
        body_example={"token": "Zm9v"},
        others={"204": {"description": "The cookie, which opens GET and HEAD alone"}},
        errors=(errors.RequestInvalid, errors.Unauthorized),
        is_open=True,
    ),
)
WORKER_CALLS = (
    Call(
        method="POST",
        path="/workers/register",
        summary="Take a worker into the fleet.",
        status=201,
        body=wire.Registration,
        body_example={
            "worker_id": "worker-1",
            "url": "http://10.0.0.7:5900",
            "hostname": "node7",
            "port": 5900,
            "max_envs": 4,
            "metadata": {"available_runners": ["local"]},
        },
        reply=wire.Registered,
        reply_example={"status": "registered", "worker_id": "worker-1", "master_time": 1767225600.0},
        parameters=(SECRET,),
        errors=(*WORKER_ERRORS, errors.Conflict),
    ),
    Call(
        method="POST",
        path="/workers/heartbeat",
        summary="Take a worker's sign of life, from the one that registered.",
        body=wire.Heartbeat,
        body_example={"worker_id": "worker-1", "env_count": 1, "env_ids": [ENV_ID], "sequence": 3},
        reply=replies.Beat,
        reply_example={"status": "ok", "master_time": 1767225600.0},
        parameters=(SECRET,),
        errors=(*WORKER_ERRORS, errors.WorkerNotFound),
    ),
    Call(
        method="POST",
        path="/workers/deregister",
        summary="Let a worker go, at its own word.",
        body=wire.WorkerRef,
        body_example={"worker_id": "worker-1", "reason": "the job ends"},
        reply=replies.Deregistered,
        reply_example={"status": "deregistered"},
        parameters=(SECRET,),
        errors=(*WORKER_ERRORS, errors.WorkerNotFound),
    ),
    *(
        Call(
            method="POST",
            path=f"/workers/{name}",
            summary=summary,
            body=wire.WorkerRef,
            body_example={"worker_id": "worker-1"},
            reply=replies.Drained,
            reply_example={"status": status, "worker_id": "worker-1", "env_count": 1, "message": "it has 1"},
            parameters=(SECRET,) if name == "drain" else (),
            errors=(*WORKER_ERRORS, errors.WorkerNotFound),
        )
        for name, status, summary in (
            ("drain", "draining", "Send a worker no more environments."),
            ("undrain", "healthy", "Send a worker environments again."),
        )
    ),
    Call(
        method="GET",
        path="/workers/list",
        summary="The whole fleet.",
        reply=replies.Cluster,
        reply_example=CLUSTER_EXAMPLE,
    ),
)
LIST = Call(
    method="GET",
    path="/envs/list",
    summary="Where the environments are; a named client sees its own.",
    reply=replies.EnvList,
    reply_example={
        "environments": {
            ENV_ID: {
                "worker_id": "worker-1",
                "worker_url": "http://10.0.0.7:5900",
                "worker_status": "healthy",
            }
        },
        "total": 1,
    },
)


def _with(call: Call, *kinds: type[GymQueueError]) -> Call:
    return replace(call, errors=(*call.errors, *kinds))


MASTER_CALLS = (
    *(_with(call, *(READ_ERRORS if call.is_open else GUARDED)) for call in STATUS_CALLS),
    *(_with(call, *GUARDED) for call in (*WORKER_CALLS, LIST)),
    _with(CREATE, *GUARDED, *CREATE_ERRORS),
    _with(SHOW, *GUARDED, errors.MasterRecovering),
    *(_with(call, *GUARDED, *FORWARDED) for call in (*ENV_CALLS, *WATCH_CALLS, ENV_LOGS)),
    _with(MASTER_LOGS, *GUARDED),
    *(_with(call, *GUARDED) for call in (*MASTER_EPISODE_CALLS, *HAND_CALLS)),
)
"""Everything a master answers, itself or by its workers."""
