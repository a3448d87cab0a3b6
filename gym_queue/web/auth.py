"""Bearer tokens, checked in constant time before anything else sees a request."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Collection

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.errors import Unauthorized
from gym_queue.web.errors import error_reply

COOKIE = "gym_queue_token"
READS = ("GET", "HEAD")
PAGE_HEADER = "X-Gym-Queue-Page"
"""Set to 1 by the dashboard's own script; a page of another origin cannot send it, as nobody answers its preflight."""

TokenCheck = Callable[[str, str], bool]
"""path, token → whether the token opens the path."""


def same_token(given: str, expected: str) -> bool:
    """Compare two tokens in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def given_token(scope: Scope) -> str | None:
    """Return the token a request carries: a bearer header, or the dashboard's cookie.

    A browser adds the cookie to what pages on other ports of the same host send, so it opens calls that only read,
    and a POST of which it is sure that a page of this server sent it.
    """
    headers = Headers(scope=scope)
    if (token := bearer_token(headers)) is not None:
        return token
    if scope["method"] in READS or (scope["method"] == "POST" and is_page_call(headers)):
        return cookie_token(headers.get("cookie", ""))
    return None


def is_page_call(headers: Headers) -> bool:
    """Whether a page of this very server made a call: its script says so, and its browser."""
    return is_said_by_page(
        page=_only(headers, PAGE_HEADER),
        origin=_only(headers, "origin"),
        site=_only(headers, "sec-fetch-site"),
        host=_only(headers, "host"),
    )


def is_said_by_page(*, page: str, origin: str, site: str, host: str) -> bool:
    """Whether what a request's headers say together makes it one of a page of this very server.

    Args:
        page: PAGE_HEADER, which a script of another origin cannot send.
        origin: Origin: "null" is nobody's.
        site: Sec-Fetch-Site, which only browsers set; it stands for a missing Origin, and vetoes a wrong one.
        host: Host.
    """
    if page != "1" or site not in ("", "same-origin") or not (origin or site):
        return False
    return not origin or (bool(host) and is_own_page(origin, host))


def _only(headers: Headers, name: str) -> str:
    """Return a header's value; of one that comes twice, something that is neither."""
    return ", ".join(headers.getlist(name))


def bearer_token(headers: Headers) -> str | None:
    """Return the token in an Authorization header; None when there is none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def is_own_page(origin: str, host: str) -> bool:
    """Whether a request came from a page of the server it is for, or from no page.

    Args:
        origin: The Origin header; browsers send it with every WebSocket, and let any page open one anywhere.
        host: The Host header.
    """
    return not origin or origin.partition("://")[2].lower() == host.lower()


def cookie_token(header: str) -> str | None:
    """Return the token in a Cookie header; None when there is none."""
    return cookie_parser(header).get(COOKIE)


class TokenMiddleware:
    """Answers 401 to whoever has no right token.

    Args:
        app: What is behind it.
        check: Decides over path and token; None lets everybody in.
        open_paths: Paths that need none.
    """

    def __init__(
        self, app: ASGIApp, *, check: TokenCheck | None, open_paths: Collection[str] = ("/health",)
    ) -> None:
        self._app = app
        self._check = check
        self._open_paths = frozenset(open_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http" or self._check is None or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        token = given_token(scope)
        if token is not None and self._check(scope["path"], token):
            await self._app(scope, receive, send)
            return
        await error_reply(wrong_token(token), scope.get("request_id"))(scope, receive, send)


def wrong_token(token: str | None) -> Unauthorized:
    """Return the error for a token that opens nothing, or for none."""
    what = "no token was sent" if token is None else "the token is wrong"
    return Unauthorized(
        f"{what}: send 'Authorization: Bearer <token>' with the master's token (GYM_ANYTHING_TOKEN, or the token file of the user that runs the master)"
    )
