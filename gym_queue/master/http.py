"""The master's HTTP calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import httpx
from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp

from gym_queue.errors import EnvNotFound, MasterRecovering, MethodNotAllowed, RequestInvalid
from gym_queue.master import overview
from gym_queue.master.access import OPERATOR, Access, AccessMiddleware, Caller, Keyring, Role
from gym_queue.master.addresses import check_worker_url
from gym_queue.master.admission import Admission
from gym_queue.master.api.board import Board, Owners, new_board
from gym_queue.master.api.hand import add_hand
from gym_queue.master.api.serve import add_api
from gym_queue.master.brokercalls import add_broker_call
from gym_queue.master.brokerview import BrokerView
from gym_queue.master.calls import MASTER_CALLS
from gym_queue.master.creates import Creates
from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.envlogs import EnvLogs, LogDesk
from gym_queue.master.episodes import Episodes, add_episodes
from gym_queue.master.fleet import Fleet
from gym_queue.master.hands import Hands
from gym_queue.master.metrics import exposition_of
from gym_queue.master.ownership import Ownership
from gym_queue.master.routes import CLOSED, Routes, RouteState
from gym_queue.master.taskcalls import add_task_calls
from gym_queue.master.traces import Traces
from gym_queue.master.workersecrets import WorkerSecrets
from gym_queue.protocol import fleet as wire
from gym_queue.protocol.methods import Methods
from gym_queue.protocol.openapi import Title, document
from gym_queue.protocol.sessions import CreateReply, CreateRequest
from gym_queue.stats.tasks import TaskStats
from gym_queue.version import __version__
from gym_queue.web.attempts import AttemptsMiddleware
from gym_queue.web.bodylimit import BodyLimitMiddleware
from gym_queue.web.described import DescribedApp
from gym_queue.web.errors import install_error_handlers
from gym_queue.web.gone import unless_gone
from gym_queue.web.idempotency import id_for, key_of
from gym_queue.web.limits import DEFAULT_BODIES, BodyLimits
from gym_queue.web.requestid import RequestIdMiddleware
from gym_queue.web.rotation import RotatingToken

LOOPBACK = ("127.0.0.1", "::1")
TITLE = Title(
    "Gym Queue master",
    __version__,
    "The cluster token opens everything; a named one its own environments; the worker token what workers say; the metrics token /metrics.",
)
OPERATOR_WAITS_S = 0.5
"""How long a reply to an operator may wait for the state to be written."""
UNFORWARDED = (b"%", b"/.", b"#")
"""In a path that names an environment: the gateway forwards none of these."""
ANY_METHOD = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
"""As the gateway lets in."""
ENV_ID_CHARS = 128
"""Longest id an environment may have, as ENV_ID_PATTERN says."""


@dataclass(frozen=True, slots=True)
class MasterParts:
    """The objects behind the calls."""

    fleet: Fleet
    admission: Admission
    routes: Routes
    creates: Creates
    gateway: Gateway
    tasks: TaskStats
    broker_url_for: Callable[[str, str], str | None]
    """Host name the worker used, its address → the broker URL it should use."""
    token: str | None
    started_at: float
    wait_written: Callable[[float], bool]
    """Waits, at most so many seconds, until what was decided would outlive this master; not for the loop."""
    access: Access | None = None
    """Decides over callers; None knows ``token`` alone."""
    secrets: WorkerSecrets = field(default_factory=WorkerSecrets)
    bodies: BodyLimits = DEFAULT_BODIES
    """How large they may be."""
    traces: Traces = field(default_factory=Traces)
    broker: BrokerView | None = None
    """None shows that there is none."""
    logs: LogDesk = field(default_factory=lambda: LogDesk(EnvLogs()))
    client: httpx.AsyncClient | None = None
    """For calls to workers."""
    board: Board | None = None
    """What the dashboard reads; None begins one that keeps nothing."""
    hands: Hands = field(default_factory=Hands)
    """What people at the dashboard have done by agents."""

    def board_or_default(self) -> Board:
        """Return what the dashboard reads."""
        owners = Owners(self.fleet, self.routes, self.creates, self.gateway, self.tasks)
        return self.board or new_board(owners)

    def access_or_default(self) -> Access:
        """Return what decides over callers."""
        if self.access is not None:
            return self.access
        keys = Keyring(RotatingToken(self.token)) if self.token else None
        return Access(keys, Ownership(self.routes))


def make_master_app(
    parts: MasterParts, *, add_pages: Callable[[FastAPI], None], open_paths: frozenset[str]
) -> ASGIApp:
    """Return the master's ASGI app.

    Args:
        parts: The objects behind the calls.
        add_pages: Adds the dashboard's pages.
        open_paths: Paths that need no token.
    """
    app = DescribedApp(lambda: document(TITLE, MASTER_CALLS))
    access = parts.access_or_default()
    methods = Methods(MASTER_CALLS)
    install_error_handlers(app, methods.of)
    board = parts.board_or_default()
    _add_status(app, parts, access, board)
    add_api(app, board, access)
    add_hand(app, parts.hands, parts.routes, parts.fleet)
    _add_workers(app, parts, board)
    parts.logs.add_to(app, parts.routes, parts.creates, parts.fleet)
    add_episodes(app, Episodes(parts.fleet, parts.client))
    add_pages(app)
    _add_envs(app, parts, access, methods)
    guarded = AccessMiddleware(
        BodyLimitMiddleware(app, parts.bodies, is_unread=_is_unread), access, open_paths=open_paths
    )
    return RequestIdMiddleware(AttemptsMiddleware(guarded, access.attempts))


def _add_status(app: FastAPI, parts: MasterParts, access: Access, board: Board) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the master serves, and how much of a fleet it has."""
        counts = overview.count_workers(parts.fleet.entries())
        kept = (
            "total_workers",
            "healthy_workers",
            "unhealthy_workers",
            "dead_workers",
            "total_envs",
            "total_capacity",
        )
        return {
            "status": "healthy",
            "role": "master",
            "uptime_sec": time.time() - parts.started_at,
            **{key: counts[key] for key in kept},
        }

    @app.get("/api/metrics")
    async def metrics() -> dict[str, Any]:
        """The fleet, for monitoring."""
        uptime = {"uptime_sec": time.time() - parts.started_at, "start_time": parts.started_at}
        return {"master": uptime, "cluster": _cluster(parts)}

    exposition = exposition_of(board)

    @app.get("/metrics")
    async def numbers() -> Response:
        """The fleet's numbers, for Prometheus."""
        return Response(exposition.text(), media_type=exposition.media_type)

    add_task_calls(app, parts.tasks, parts.creates, parts.routes)
    add_broker_call(app, parts.broker)

    @app.get("/queue")
    async def queue(http: Request) -> dict[str, Any]:
        """The creates that wait for a slot, first to be served first; a named client sees its own, in their places."""
        waiting, mine = parts.creates.queue(), _is_shown(_caller(http), access)
        return {
            "waiting": [
                overview.describe(create, at) for at, create in enumerate(waiting) if mine(create.env_id)
            ],
            "total": len(waiting),
        }


def _add_workers(app: FastAPI, parts: MasterParts, board: Board) -> None:
    fleet = parts.fleet

    @app.post("/workers/register", status_code=201)
    async def register(request: wire.Registration, http: Request) -> wire.Registered:
        """Take a worker into the fleet."""
        peer = http.client.host if http.client else ""
        await check_worker_url(request.url, peer)
        given = http.headers.get(wire.SECRET_HEADER)
        await parts.admission.admit(request, proven=parts.secrets.is_proven(request.worker_id, given))
        return wire.Registered(
            worker_id=request.worker_id,
            master_time=time.time(),
            broker_url=parts.broker_url_for(http.url.hostname or "", peer),
            heartbeat_s=fleet.times.heartbeat_s,
            worker_secret=parts.secrets.issue(request.worker_id, given, will_bear=request.bears_secret),
        )

    @app.post("/workers/heartbeat")
    async def heartbeat(request: wire.Heartbeat, http: Request) -> dict[str, Any]:
        """Take a worker's sign of life, from the one that registered."""
        parts.secrets.check(request.worker_id, http.headers.get(wire.SECRET_HEADER))
        if fleet.heartbeat(request):
            board.counters.take(request, fleet.process(request.worker_id))
        return {"status": "ok", "master_time": time.time()}

    @app.post("/workers/deregister")
    async def deregister(request: wire.WorkerRef, http: Request) -> dict[str, str]:
        """Let a worker go, at its own word."""
        parts.secrets.check(request.worker_id, http.headers.get(wire.SECRET_HEADER))
        reason = request.reason or "no reason given"
        fleet.deregister(request.worker_id, f"its worker {request.worker_id} left ({reason})")
        parts.secrets.forget(request.worker_id)
        return {"status": "deregistered"}

    @app.post("/workers/drain")
    async def drain(request: wire.WorkerRef, http: Request) -> dict[str, Any]:
        """Send a worker no more environments: at an operator's word, or its own."""
        if _caller(http).role is not Role.CLUSTER:
            parts.secrets.check(request.worker_id, http.headers.get(wire.SECRET_HEADER))
        return await _set_draining(parts, request.worker_id, draining=True)

    @app.post("/workers/undrain")
    async def undrain(request: wire.WorkerRef) -> dict[str, Any]:
        """Send a worker environments again."""
        return await _set_draining(parts, request.worker_id, draining=False)

    @app.get("/workers/list")
    async def list_workers() -> dict[str, Any]:
        """The whole fleet."""
        return _cluster(parts)


def _add_envs(app: FastAPI, parts: MasterParts, access: Access, methods: Methods) -> None:
    @app.post("/envs/create", status_code=201)
    async def create(request: CreateRequest, http: Request) -> CreateReply:
        """Create an environment on a worker that can run it, waiting for a slot if need be."""
        key, caller = key_of(http), _caller(http)
        env_id = request.env_id or id_for(key, owner=caller.name)
        request = request.model_copy(update={"env_id": env_id})
        with access.creating(caller, request), parts.traces.creating(env_id, http.headers):
            reply = await unless_gone(http, parts.creates.create(request))
            access.ownership.put(reply.env_id, access.ownership.owner(env_id))
        return reply

    @app.get("/envs/list")
    async def list_envs(http: Request) -> dict[str, Any]:
        """Where the environments are; a named client sees its own."""
        mine = _is_shown(_caller(http), access)
        return overview.list_envs(parts.fleet, parts.routes, is_shown=mine)

    @app.get("/envs/{env_id}")
    async def show(env_id: str) -> dict[str, Any]:
        """Where one environment is in its life."""
        if len(env_id) > ENV_ID_CHARS:
            _refuse(parts, env_id)
        is_closing = parts.gateway.closes(env_id)
        found = overview.show_env(parts.creates, parts.routes, env_id, is_closing=is_closing)
        if found is None:
            _refuse(parts, env_id)
        return found

    @app.post("/envs/{env_id}/close")
    async def close(env_id: str, http: Request) -> dict[str, str]:
        """End an environment, or give up its create; of one that has ended, however it did, nothing is left to end."""
        key_of(http)  # refused when it is none, as the worker does
        if not parts.creates.cancel(env_id):
            if parts.routes.find(env_id) is not None or parts.routes.ended(env_id) is None:
                _refuse(parts, env_id)
            parts.routes.remove(env_id, CLOSED)
        return {"status": "closed"}

    @app.api_route("/envs/{env_id}/{call:path}", methods=list(ANY_METHOD), include_in_schema=False)
    async def unrouted(env_id: str, call: str, http: Request) -> None:  # noqa: ARG001  part of the path
        """Say why a call was not forwarded: those of routed environments never come here."""
        _check_method(http, methods)
        _check_late(parts, env_id, http.scope["raw_path"])
        _refuse(parts, env_id)


def _is_unread(path: str) -> bool:
    """Return whether a call's body is nobody's to read: it was for a worker, and is refused without it."""
    return path.startswith("/envs/")


def _caller(http: Request) -> Caller:
    """Return who makes a request; open paths have no caller, and show the same to all."""
    caller: Caller = http.scope.get("caller", OPERATOR)
    return caller


def _is_shown(caller: Caller, access: Access) -> Callable[[str], bool]:
    """Return what tells whether a caller may see that an environment is there."""
    return lambda env_id: caller.role is Role.CLUSTER or access.ownership.owner(env_id) == caller.name


async def _set_draining(parts: MasterParts, worker_id: str, *, draining: bool) -> dict[str, Any]:
    parts.fleet.set_draining(worker_id, draining=draining)
    await asyncio.to_thread(
        parts.wait_written, OPERATOR_WAITS_S
    )  # an operator's word holds from the reply on
    count = parts.routes.count(worker_id)
    message = f"worker {worker_id} takes {'no more' if draining else 'new'} environments; it has {count}"
    return {
        "status": "draining" if draining else "healthy",
        "worker_id": worker_id,
        "env_count": count,
        "message": message,
    }


def _check_method(http: Request, methods: Methods) -> None:
    """Refuse a method that a call does not have; whether there is such a call, the worker says."""
    path, asked = http.scope["path"], "GET" if http.method == "HEAD" else http.method
    allowed = methods.of(path)
    if allowed and asked not in allowed:
        raise MethodNotAllowed(
            f"{http.method} {path} is not a call: use {' or '.join(allowed)}", {"allow": allowed}
        )


def _check_late(parts: MasterParts, env_id: str, path: bytes) -> None:
    """Let a call be made again whose environment came to be known after the gateway had looked for it."""
    route = parts.routes.find(env_id)
    if route is None or route.state is not RouteState.READY or any(mark in path for mark in UNFORWARDED):
        return
    raise MasterRecovering(
        f"environment {env_id} was reported by its worker just now, after this call came: try again",
        {"sent": False},
    )


def _refuse(parts: MasterParts, env_id: str) -> NoReturn:
    """Say why a call about an environment cannot be forwarded."""
    if len(env_id) > ENV_ID_CHARS:
        raise EnvNotFound(
            f"no environment has an id of {len(env_id)} characters: at most {ENV_ID_CHARS} are allowed"
        )
    waiting = parts.creates.find(env_id)
    if waiting is not None and waiting.placement is None:
        position = overview.position_of(parts.creates, env_id)
        raise EnvNotFound(
            f"environment {env_id} is queued at position {position}, 0 being the next: wait for its create to be answered",
            {"state": "queued", "position": position},
        )
    if waiting is not None and waiting.wanted_until:
        raise MasterRecovering(
            f"the master has just restarted, and environment {env_id} is being looked for on its worker: try again",
            {"sent": False, "retry_after_s": 0.2},
        )
    known = parts.routes.find(env_id) or waiting or parts.routes.ended(env_id)
    if known is None and parts.fleet.is_recovering:
        raise MasterRecovering(
            f"the master has just restarted, and environment {env_id} may be one that its worker is yet to report: try again",
            {"retry_after_s": 1},
        )
    parts.routes.forwardable(env_id)
    raise RequestInvalid(f"write the id {env_id} as it is, and the call after it: POST /envs/{env_id}/step")


def _cluster(parts: MasterParts) -> dict[str, Any]:
    return overview.cluster(
        parts.fleet,
        parts.routes,
        queue_length=len(parts.creates.queue()),
        endpoint_stats=parts.gateway.stats.summary(),
    )
