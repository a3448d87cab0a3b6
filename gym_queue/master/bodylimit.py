"""Bodies that are too large are refused before anybody parses them."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gym_queue.errors import TooLarge
from gym_queue.web.errors import error_reply

CREATE_BYTES = 8 << 20
OTHER_BYTES = 1 << 20


class BodyLimitMiddleware:
    """Reads a body whole, up to what its call takes, and answers 413 beyond it.

    Args:
        app: What is behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        limit = _limit_of(scope)
        if limit is None:
            await self._app(scope, receive, send)
            return
        body = await _read(scope, receive, limit)
        if body is None:
            error = TooLarge(f"the body is larger than the {limit >> 20} MiB this call takes: send less")
            reply = error_reply(error, scope.get("request_id"))
            reply.headers["Connection"] = "close"
            await reply(scope, receive, send)
            return
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, receive_again, send)


def _limit_of(scope: Scope) -> int | None:
    """Return how many bytes a call takes; None for one whose body nobody reads."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
        return None
    path = scope["path"]
    if path == "/envs/create":
        return CREATE_BYTES
    return None if path.startswith("/envs/") else OTHER_BYTES


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """Return the body; None when it is larger than ``limit`` bytes."""
    length = Headers(scope=scope).get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        return None
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body"):  # its end, or the client's
            return bytes(body)
