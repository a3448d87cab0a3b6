"""The page, its assets and its login. The page's shell holds no data, so that it is open to everybody."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse

from gym_queue.errors import MethodNotAllowed, NotFound, TooLarge, Unauthorized
from gym_queue.protocol.login import Login
from gym_queue.protocol.parse import parse_body
from gym_queue.web.auth import COOKIE

STATIC = Path(__file__).parent / "static"
SHELL = "index.html"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
}
"""What browsers insist on; all else (licences, notes) is text."""
ASSETS: frozenset[str] = frozenset(
    path.relative_to(STATIC).as_posix() for path in STATIC.rglob("*") if path.is_file() and path.name != SHELL
)
"""Names of the files served below ``/dashboard/``."""
OPEN_PATHS: frozenset[str] = frozenset(
    {"/", "/dashboard", "/dashboard/login", "/health", *(f"/dashboard/{name}" for name in ASSETS)}
)
"""Paths that need no token: none of them shows data of the fleet."""
MAX_LOGIN_BYTES = 4096
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
        "img-src 'self' blob: data:; media-src 'self' blob:; "
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
        app: Must answer the calls below ``/api`` to the login's cookie.
        check_token: Decides over a token; None when the app lets everybody in.
    """
    _add_page(app, check_token)
    _add_login(app, check_token)
    _add_assets(app, {name: _File.read(STATIC / name) for name in ASSETS})


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the page as it is served."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> _File:
        content = path.read_bytes()
        media_type = MEDIA_TYPES.get(path.suffix, "text/plain; charset=utf-8")
        return cls(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def reply(self, request: Request) -> Response:
        """The file, or 304 to a browser that has it."""
        headers = {**HEADERS, "ETag": self.etag}
        known = [
            tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")
        ]
        if self.etag in known:
            return Response(status_code=304, headers=headers)
        return Response(self.content, media_type=self.media_type, headers=headers)


def _add_page(app: FastAPI, check_token: TokenCheck | None) -> None:
    page = _File.read(STATIC / SHELL)

    @app.get("/", include_in_schema=False)
    @app.get("/dashboard", include_in_schema=False)
    async def show(request: Request) -> Response:
        """The page; with ``?token=`` a way in, that leaves no token in the address bar."""
        token = request.query_params.get("token")
        if token is None:
            return page.reply(request)
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


def _add_assets(app: FastAPI, files: Mapping[str, _File]) -> None:
    @app.get("/dashboard/{name:path}", include_in_schema=False)
    async def asset(name: str, request: Request) -> Response:
        """One of the files, by its exact name."""
        if name == "login":
            raise MethodNotAllowed("GET /dashboard/login is not a call: use POST", {"allow": ["POST"]})
        if (file := files.get(name)) is None:
            raise NotFound(f"the dashboard has no file {name[:80]!r}: reload the page")
        return file.reply(request)


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
