"""A real master without a broker, for the dashboard to show."""

from __future__ import annotations

import time
from functools import partial

import httpx
from fastapi import FastAPI
from starlette.types import ASGIApp

from gym_queue.dashboard.pages import OPEN_PATHS, add_pages
from gym_queue.master.admission import Admission
from gym_queue.master.creates import Creates
from gym_queue.master.dataplane.gateway import Gateway
from gym_queue.master.dispatch import HttpDispatcher
from gym_queue.master.fleet import Fleet, FleetTimes
from gym_queue.master.http import MasterParts, make_master_app
from gym_queue.master.routes import Routes
from gym_queue.protocol.sessions import CreateReply
from gym_queue.stats.tasks import TaskStats
from gym_queue.web.auth import same_token

TOKEN = "correct horse; battery"  # with what a cookie must quote


async def _never_undone(reply: CreateReply) -> None:
    raise AssertionError(f"nobody undoes {reply.env_id} here")


def make_parts(client: httpx.AsyncClient, *, token: str | None = TOKEN) -> MasterParts:
    """Return a master's objects, its fleet empty."""
    routes = Routes()
    fleet = Fleet(routes, FleetTimes())
    creates = Creates(
        fleet,
        routes,
        celery=None,
        http=HttpDispatcher(client, timeout_s=5),
        undo=_never_undone,
        queue_timeout_s=600,
    )
    gateway = Gateway(routes, fleet, token=token, worker_token=TOKEN, timeout_s=5)
    return MasterParts(
        fleet,
        Admission(fleet, client),
        routes,
        creates,
        gateway,
        TaskStats(),
        lambda _host, _peer: None,
        token,
        time.time(),
        lambda _timeout_s: True,
    )


def master_with_pages(parts: MasterParts) -> ASGIApp:
    """Return a master's app with the dashboard on it, as the command composes them."""
    check = None if parts.token is None else partial(_is, parts.token)

    def pages(app: FastAPI) -> None:
        add_pages(app, check_token=check)

    return make_master_app(parts, add_pages=pages, open_paths=OPEN_PATHS)


def _is(expected: str, given: str) -> bool:
    return same_token(given, expected)
