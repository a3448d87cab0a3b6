"""The calls that the dashboard's pages read a master by."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import Receive, Scope, Send

from gym_queue.master.access import OPERATOR, Access, Caller, Role
from gym_queue.master.api import envrows, workerrows
from gym_queue.master.api.board import Board
from gym_queue.master.api.envrows import EnvRows, queue_rows, show_queued
from gym_queue.master.api.fleetmap import FleetMap
from gym_queue.master.api.workerrows import show_worker, worker_rows
from gym_queue.version import __version__
from gym_queue.web.auth import given_token
from gym_queue.web.listing import ListQuery, page, parse_query

JSON = "application/json"


def add_api(app: FastAPI, board: Board, access: Access) -> None:
    """Add the calls to a master's app."""
    _add_self(app, board)
    _add_glance(app, board)
    _add_live(app, board, access)
    _add_lists(app, board, access)


def _add_self(app: FastAPI, board: Board) -> None:
    @app.get("/api/me")
    async def me(http: Request) -> dict[str, Any]:
        """Who asks, and whom."""
        caller: Caller = http.scope.get("caller", OPERATOR)
        times = {"started_at": board.overview.started_at, "as_of": time.time()}
        return {
            "role": str(caller.role),
            "name": caller.name,
            "may_act": caller.role is Role.CLUSTER,
            "master": {"version": __version__, **times},
        }

    @app.get("/api/masters")
    async def masters(http: Request) -> list[dict[str, str]]:
        """The masters that can be looked at here: this one."""
        _host, port = http.scope.get("server") or ("", None)
        name = socket.gethostname() if port is None else f"{socket.gethostname()}:{port}"
        return [{"name": name, "url": "", "base": ""}]


def _add_glance(app: FastAPI, board: Board) -> None:
    @app.get("/api/overview")
    async def overview() -> Response:
        """The fleet at a glance."""
        return _json(board.overview.show())

    kept = {"version": -1, "text": ""}

    @app.get("/api/history")
    async def history() -> Response:
        """The last hour in columns."""
        series = board.sampler.history
        if kept["version"] != series.version:  # the same for all who ask within ten seconds
            kept.update(version=series.version, text=json.dumps(series.columns(), separators=(",", ":")))
        head = f'{{"as_of":{time.time():.3f},"step_s":{series.step_s:g},"series":'
        return Response(f"{head}{kept['text']}}}", media_type=JSON)

    fleet = FleetMap(board.owners.fleet, board.owners.routes)

    @app.get("/api/fleet")
    async def show_fleet() -> Response:
        """Every worker in columns, for a map."""
        return Response(fleet.text(), media_type=JSON)


def _add_live(app: FastAPI, board: Board, access: Access) -> None:
    @app.get("/api/live")
    async def live(http: Request) -> Response:
        """The overview, and which lists have changed, as server-sent events."""
        token, path = given_token(http.scope), http.scope["path"]
        listener = board.feed.listen(
            http.headers.get("last-event-id", ""), lambda: access.check(access.who(token), path)
        )
        return _Streamed(board.feed.reply(listener))


def _add_lists(app: FastAPI, board: Board, access: Access) -> None:
    owners, owner, clock = board.owners, access.ownership.owner, time.monotonic
    envs = EnvRows(owners.routes, owners.creates, owners.gateway.closing, owner, clock=clock, wall=time.time)

    @app.get("/api/workers")
    async def list_workers(http: Request) -> Response:
        """The workers, by the page."""
        query = _query(http, sorts=workerrows.SORTS, filters=workerrows.FILTERS, choices=workerrows.CHOICES)
        version = board.versions()["workers"]
        rows = worker_rows(owners.fleet, owners.routes, owners.tasks.nodes, clock())
        return _json(page(rows, query, fields=workerrows.SEARCHED, version=version, show=show_worker))

    @app.get("/api/envs")
    async def list_envs(http: Request) -> Response:
        """The environments, by the page."""
        filters = {"state": "state", "worker": "worker_id", "owner": "owner"}
        query = _query(http, sorts=envrows.ENV_SORTS, filters=filters, choices={"state": envrows.STATES})
        version = board.versions()["envs"]
        return _json(page(envs.all(), query, fields=envrows.ENV_SEARCHED, version=version, show=envs.show))

    @app.get("/api/queue")
    async def list_queue(http: Request) -> Response:
        """The creates that wait for a slot, by the page."""
        query = _query(http, sorts=envrows.QUEUE_SORTS)
        version, rows = board.versions()["queue"], queue_rows(owners.creates, owner, clock)
        return _json(page(rows, query, fields=envrows.QUEUE_SEARCHED, version=version, show=show_queued))


def _query(http: Request, **allowed: Any) -> ListQuery:
    return parse_query(http.query_params.multi_items(), **allowed)


def _json(content: Any) -> Response:
    return Response(json.dumps(content, separators=(",", ":")), media_type=JSON)


class _Streamed(Response):
    """What FastAPI hands on as a response, and an ASGI app of its own answers."""

    def __init__(self, app: Any) -> None:
        super().__init__()
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)
