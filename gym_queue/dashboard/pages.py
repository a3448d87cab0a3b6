"""The page, its assets and its login. The page's shell holds no data, so that it is open to everybody."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from gym_queue.errors import TooLarge, Unauthorized
from gym_queue.protocol.login import Login
from gym_queue.protocol.parse import parse_body
from gym_queue.web.auth import COOKIE

STATIC = Path(__file__).parent / "static"
ASSETS = {
    "/dashboard/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/dashboard/style.css": ("style.css", "text/css; charset=utf-8"),
}
"""Path → file in STATIC, media type."""
OPEN_PATHS: frozenset[str] = frozenset({"/", "/dashboard", "/dashboard/login", "/health", *ASSETS})
"""Paths that need no token: none of them shows data of the fleet."""
MAX_LOGIN_BYTES = 4096
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

TokenCheck = Callable[[str], bool]
"""Token → whether it is right."""


def add_pages(app: FastAPI, *, check_token: TokenCheck | None) -> None:
    """Add the dashboard's page, assets and login to an app that serves its data.

    Args:
        app: Must answer ``GET /workers/list``, ``/queue``, ``/api/tasks`` and ``/envs/list`` to the login's cookie.
        check_token: Decides over a token; None when the app lets everybody in.
    """
    _add_page(app, check_token)
    _add_login(app, check_token)
    for path, (name, media_type) in ASSETS.items():
        _add_asset(app, path, (STATIC / name).read_bytes(), media_type)


def _add_page(app: FastAPI, check_token: TokenCheck | None) -> None:
    page = (STATIC / "index.html").read_bytes()

    @app.get("/", include_in_schema=False)
    @app.get("/dashboard", include_in_schema=False)
    async def show(request: Request) -> Response:
        """The page; with ``?token=`` a way in, that leaves no token in the address bar."""
        token = request.query_params.get("token")
        if token is None:
            return Response(page, media_type="text/html; charset=utf-8", headers=HEADERS)
        right = check_token is None or check_token(token)
        # A relative target holds behind a proxy that serves us under a prefix.
        reply = RedirectResponse("dashboard" if right else "dashboard?login=wrong", 303, HEADERS)
        if check_token is not None and right:
            _remember(reply, request, token)
        return reply


def _add_login(app: FastAPI, check_token: TokenCheck | None) -> None:
    @app.post("/dashboard/login", status_code=204, include_in_schema=False)
    async def login(request: Request) -> Response:
        """Trade a right token for a cookie."""
        token = await _read_token(request)
        reply = Response(status_code=204, headers=HEADERS)
        if check_token is None:
            return reply
        if not check_token(token):
            raise Unauthorized(
                "the token is wrong: paste the cluster's token (GYM_ANYTHING_TOKEN, or the token file of the user that runs the master)"
            )
        _remember(reply, request, token)
        return reply


def _add_asset(app: FastAPI, path: str, content: bytes, media_type: str) -> None:
    @app.get(path, include_in_schema=False)
    async def asset() -> Response:
        return Response(content, media_type=media_type, headers=HEADERS)


def _remember(reply: Response, request: Request, token: str) -> None:
    # SameSite=Strict keeps other sites out; a page on another port of this host is the same site,
    # which is why the cookie opens GET and HEAD alone (gym_queue.web.auth).
    reply.set_cookie(
        COOKIE, token, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )


async def _read_token(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_LOGIN_BYTES:
            raise TooLarge(f'a login has at most {MAX_LOGIN_BYTES} bytes: send {{"token": ".."}} alone')
    return parse_body(Login, body).token.get_secret_value()
