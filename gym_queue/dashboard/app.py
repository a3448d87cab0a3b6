"""The dashboard as a program of its own: the same page, over one or several masters elsewhere."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.dashboard.pages import OPEN_PATHS, add_pages
from gym_queue.dashboard.relay import MasterRelay
from gym_queue.dashboard.sockets import Sockets
from gym_queue.errors import Forbidden, NotFound
from gym_queue.version import __version__
from gym_queue.web.attempts import Attempts, AttemptsMiddleware
from gym_queue.web.auth import TokenMiddleware, bearer_token, is_page_call, same_token
from gym_queue.web.bodylimit import BodyLimitMiddleware
from gym_queue.web.errors import error_reply, install_error_handlers
from gym_queue.web.limits import BodyLimits
from gym_queue.web.requestid import RequestIdMiddleware

BODY_BYTES = 64 << 10
"""Of any call: those that are handed on name an environment or a worker, and little else."""
LOGIN = "/dashboard/login"
_BELOW = re.compile(rb"/m/([0-9]{1,4})(/[!-~]*)")


def make_dashboard_app(masters: tuple[MasterRelay, ...], *, access_token: str | None) -> ASGIApp:
    """Return the standalone dashboard's ASGI app.

    Args:
        masters: Where its data come from, the first one first.
        access_token: What its own callers must show; None lets everybody in, to read.
    """
    app = FastAPI(title="Gym Queue dashboard", version=__version__)
    install_error_handlers(app)
    add_pages(
        app, check_token=None if access_token is None else lambda given: same_token(given, access_token)
    )
    _add_calls(app, masters)
    check = None if access_token is None else lambda _path, given: same_token(given, access_token)
    attempts = Attempts()
    limited = BodyLimitMiddleware(_OwnPages(app), BodyLimits(BODY_BYTES, BODY_BYTES))
    guarded = TokenMiddleware(limited, check=check, open_paths=OPEN_PATHS)
    told = RequestIdMiddleware(AttemptsMiddleware(guarded, attempts))
    return Sockets(told, masters, check=check, attempts=attempts)


class _OwnPages:
    """Refuses calls that act to who is neither this server's own page nor shows a token as a header.

    With a token asked the cookie is judged so already; without one, any page of any site could act in its place.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD") and scope["path"] != LOGIN:
            headers = Request(scope).headers
            if bearer_token(headers) is None and not is_page_call(headers):
                refused = Forbidden(
                    "the call is not of this dashboard's page: act from there, or at the master"
                )
                await error_reply(refused, scope.get("request_id"))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _add_calls(app: FastAPI, masters: tuple[MasterRelay, ...]) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the dashboard serves, whatever its masters do."""
        return {"status": "healthy", "role": "dashboard"}

    @app.get("/api/masters")
    async def list_masters() -> list[dict[str, str]]:
        """The masters, and below which address each one's calls are."""
        return [{"name": each.name, "url": each.url, "base": f"/m/{at}"} for at, each in enumerate(masters)]

    @app.get("/m/{index}/api/me")
    async def me(request: Request) -> dict[str, Any]:
        """Who this dashboard is to a master, and whether its page may act."""
        master, _ = _named(masters, request)
        return await master.me(request.scope.get("request_id"))

    @app.api_route("/m/{rest:path}", methods=["GET", "HEAD", "POST"], include_in_schema=False)
    async def relay(request: Request) -> Response:
        """What a master answers to the same call."""
        master, path = _named(masters, request)
        return await master.relay(request, path)


def _named(masters: tuple[MasterRelay, ...], request: Request) -> tuple[MasterRelay, str]:
    """Return the master that a call is for, and the path there, as it was written: nothing is decoded.

    Raises:
        NotFound: There is no such master.
    """
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    found = _BELOW.fullmatch(raw.partition(b"?")[0])
    if found is None or int(found[1]) >= len(masters):
        raise NotFound(f"{request.scope['path'][:200]} names no master: see /api/masters")
    return masters[int(found[1])], found[2].decode("ascii")
