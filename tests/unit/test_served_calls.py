"""What the OpenAPI documents describe is what the programs route, and the other way round."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from gym_queue.dashboard.pages import ASSETS
from gym_queue.master.calls import MASTER_CALLS
from gym_queue.protocol.calls import ENV_CALLS, Call
from gym_queue.protocol.logs import ENV_LOGS
from gym_queue.protocol.methods import Methods
from gym_queue.protocol.watching import WATCH_CALLS
from gym_queue.worker.calls import WORKER_CALLS
from gym_queue.worker.host import Host
from gym_queue.worker.http import WorkerIdentity, make_worker_app
from gym_queue.worker.live import HostLimits
from tests.unit.dashboard.masters import make_parts, master_with_pages

Said = TypeVar("Said")
CATCH_ALL = "/envs/{env_id}/{call:path}"
FORWARDED = {(call.method, call.path) for call in (*ENV_CALLS, *WATCH_CALLS, ENV_LOGS)}
ANY_ASSET = ("GET", "/dashboard/{name:path}")
"""Routes every file of the page; the table names those that the page's shell begins with."""


def of_a_master(ask: Callable[[ASGIApp], Awaitable[Said]]) -> Said:
    async def run() -> Said:
        async with httpx.AsyncClient() as client:
            return await ask(master_with_pages(make_parts(client, token=None)))

    return asyncio.run(run())


def of_a_worker(folder: Path, ask: Callable[[ASGIApp], Awaitable[Said]]) -> Said:
    async def run() -> Said:
        host = Host(folder, ("fake",), HostLimits(1, 1, 1))
        identity = WorkerIdentity("w", "http://w", None, lambda: "none")
        return await ask(make_worker_app(host, identity, token=None))

    return asyncio.run(run())


async def routed(app: ASGIApp) -> set[tuple[str, str]]:
    while not isinstance(app, FastAPI):
        app = vars(app)["_app"]
    hidden = {app.openapi_url, CATCH_ALL}
    routes = [each for each in app.routes if isinstance(each, Route) and each.path not in hidden]
    return {(method, each.path) for each in routes for method in each.methods or () if method != "HEAD"}


async def refused(app: ASGIApp, calls: Sequence[Call]) -> dict[str, tuple[int, set[str]]]:
    """Ask every path by a method that nothing serves."""
    transport = httpx.ASGITransport(app=app)
    found = {}
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for call in calls:
            reply = await client.request("DELETE", call.path.replace("{env_id}", "e1"))
            assert reply.json()["code"] == "method_not_allowed"
            found[call.path] = reply.status_code, set(reply.headers["allow"].split(", "))
    return found


def table(calls: Sequence[Call]) -> set[tuple[str, str]]:
    return {(call.method, call.path) for call in calls}


def test_a_worker_routes_what_its_table_says(tmp_path: Path) -> None:
    assert of_a_worker(tmp_path, routed) == table(WORKER_CALLS)


def test_a_master_routes_what_its_table_says_but_what_it_forwards() -> None:
    served = of_a_master(routed) - {ANY_ASSET}
    assert served <= table(MASTER_CALLS)
    assert table(MASTER_CALLS) - served <= FORWARDED | {("GET", f"/dashboard/{name}") for name in ASSETS}


@pytest.mark.parametrize("program", ["master", "worker"])
def test_a_wrong_method_is_answered_with_the_right_ones(program: str, tmp_path: Path) -> None:
    calls = MASTER_CALLS if program == "master" else WORKER_CALLS

    async def ask(app: ASGIApp) -> dict[str, tuple[int, set[str]]]:
        return await refused(app, calls)

    found = of_a_master(ask) if program == "master" else of_a_worker(tmp_path, ask)
    methods = Methods(calls)
    assert found == {call.path: (405, set(methods.of(call.path))) for call in calls}


def test_a_call_among_the_pages_files_is_none_of_them() -> None:
    async def ask(app: ASGIApp) -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/dashboard/login")

    reply = of_a_master(ask)
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
