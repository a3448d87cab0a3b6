"""Bodies that are too large, or nested too deeply, are refused before anybody parses them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gym_queue.errors import GymQueueError, RequestMalformed, TooLarge
from gym_queue.web.errors import error_reply
from gym_queue.web.limits import BodyLimits

LINGER_S = 10.0
"""How long the sender of a body that is too large may go on."""
MAX_DEPTH = 200
"""Deepest nesting of JSON: the parser of pydantic_core, which the hot calls use, takes no deeper one."""


class BodyLimitMiddleware:
    """Reads a body whole, up to what its call takes, and answers 413 beyond it.

    Args:
        app: What is behind it.
        limits: Of bodies.
        is_unread: Whether the app answers a path's calls without reading their bodies, which then have no limit here.
    """

    def __init__(
        self, app: ASGIApp, limits: BodyLimits, *, is_unread: Callable[[str], bool] = lambda _path: False
    ) -> None:
        self._app = app
        self._limits = limits
        self._is_unread = is_unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        limit = self._limit_of(scope)
        if limit is None:
            await self._app(scope, receive, send)
            return
        try:
            body = await _read(scope, receive, limit)
            if body is None:
                return
            _check_depth(body)
        except GymQueueError as error:
            reply = error_reply(error, scope.get("request_id"))
            if isinstance(error, TooLarge):
                reply.headers["Connection"] = "close"
                await answer_early(reply, scope, receive, send)
            else:
                await reply(scope, receive, send)
            return
        first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive_again() -> Message:
            return first.pop() if first else await receive()

        await self._app(scope, receive_again, send)

    def _limit_of(self, scope: Scope) -> int | None:
        """Return how many bytes a call takes; None for one whose body nobody reads."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            return None
        if scope["path"] == "/envs/create":
            return self._limits.create_bytes
        return None if self._is_unread(scope["path"]) else self._limits.other_bytes


async def answer_early(reply: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer, and drop the rest of the body until its sender has read that.

    A connection that is closed while its other side still sends is reset, and the answer lost (RFC 9112, section 9.6).
    """

    async def send_but_the_end(message: Message) -> None:
        await send({**message, "more_body": True} if message["type"] == "http.response.body" else message)

    await reply(scope, receive, send_but_the_end)
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_S):
            while (await receive()).get("more_body"):
                pass
    await send({"type": "http.response.body", "body": b""})


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes | None:
    """Return the body; None when its client went away before the end of it.

    Raises:
        TooLarge: It is larger than ``limit`` bytes.
    """
    length = Headers(scope=scope).get("content-length", "")
    body = bytearray()
    is_larger = length.isdecimal() and int(length[:20]) > limit
    while not is_larger:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        is_larger = len(body) > limit
        if not is_larger and not message.get("more_body"):
            return bytes(body)
    raise TooLarge(f"the body is larger than the {limit:,} bytes this call takes: send less")


def _check_depth(body: bytes) -> None:
    """Refuse JSON that a parser would need more stack for than it may take; other faults are the parser's to tell.

    Raises:
        RequestMalformed: It is nested too deeply.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    try:
        from_json(body)
    except ValueError as error:
        if "recursion limit" in str(error):
            raise RequestMalformed(
                f"the body is nested deeper than {MAX_DEPTH} levels: send flatter JSON"
            ) from None
