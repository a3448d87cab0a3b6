"""Screens that are watched through a dashboard: a WebSocket of the browser's joined to one of the master's."""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.typing import Subprotocol

from gym_queue.dashboard.relay import MasterRelay
from gym_queue.errors import (
    BadReply,
    Forbidden,
    GymQueueError,
    MasterUnreachable,
    NotFound,
    TooManyConnections,
)
from gym_queue.web.attempts import Attempts
from gym_queue.web.auth import TokenCheck, bearer_token, cookie_token, is_own_page, wrong_token
from gym_queue.web.errors import error_reply
from gym_queue.web.server import WEBSOCKET_BYTES

logger = logging.getLogger(__name__)

VIEWER = re.compile(r"/m/([0-9]{1,4})(/envs/[A-Za-z0-9][A-Za-z0-9._-]{0,127}/vnc)")
SUBPROTOCOL = "binary"
VIEWERS = 64
"""At once, of one dashboard."""
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 2.0


def is_viewer(method: str, path: str) -> bool:
    """Whether a request that asks for a WebSocket gets one."""
    return method == "GET" and VIEWER.fullmatch(path) is not None


class Sockets:
    """Joins WebSockets to masters; everything else goes to the app behind it.

    The master is shown this program's token, never a ticket: who may watch here is decided here.

    Args:
        app: What is behind it.
        masters: In the order of their addresses, /m/0 and on.
        check: Decides over path and token; None lets everybody in but other sites' pages.
        attempts: Makes wrong tokens cost time.
    """

    def __init__(
        self, app: ASGIApp, masters: tuple[MasterRelay, ...], *, check: TokenCheck | None, attempts: Attempts
    ) -> None:
        self._app, self._masters, self._check, self._attempts = app, masters, check, attempts
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        scope["query_string"] = b""  # the server logs it, and it may hold a ticket
        try:
            await self._serve(scope, query, receive, send)
        except GymQueueError as error:
            if error.status == 401:
                await self._attempts.failed((scope.get("client") or ("", 0))[0])
            await error_reply(error)(scope, receive, send)

    async def _serve(
        self, scope: Scope, query: Mapping[str, list[str]], receive: Receive, send: Send
    ) -> None:
        self._authorize(scope)
        found = VIEWER.fullmatch(_raw_path(scope))
        if found is None or int(found[1]) >= len(self._masters):
            raise NotFound(f"{scope['path'][:200]} is no WebSocket: see /openapi.json for what is served")
        if self._count >= VIEWERS:
            raise TooManyConnections(
                f"this dashboard has {VIEWERS} viewers, as many as it may have: close one",
                {"retry_after_s": 1},
            )
        self._count += 1
        try:
            master = self._masters[int(found[1])]
            acts = not master.read_only and query.get("view_only", ["1"])[-1] in ("0", "false")
            upstream = await _open(master, f"{found[2]}?view_only={0 if acts else 1}")
            try:
                await _join(upstream, scope, receive, send)
            finally:
                with suppress(ConnectionClosed, TimeoutError):
                    await asyncio.shield(upstream.close())
        finally:
            self._count -= 1

    def _authorize(self, scope: Scope) -> None:
        """See that a caller may watch: by a token, or a cookie from a page of this server.

        Raises:
            Unauthorized: By neither.
            Forbidden: A browser asks for a page of another server.
        """
        headers = Headers(scope=scope)
        token = bearer_token(headers) or cookie_token(headers.get("cookie", ""))
        if self._check is not None and (token is None or not self._check(scope["path"], token)):
            raise wrong_token(token)
        if "authorization" not in headers and not is_own_page(
            headers.get("origin", ""), headers.get("host", "")
        ):
            raise Forbidden("the page is not this dashboard's: watch the screen from its own page")


def _raw_path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")


async def _open(master: MasterRelay, target: str) -> ClientConnection:
    """Return a master's side of a viewer.

    Raises:
        MasterUnreachable, BadReply: There is none to be had.
    """
    url = "ws" + master.url.removeprefix("http") + target
    context = None if url.startswith("ws:") else master.verify
    verify = ssl.create_default_context() if context is True else context
    try:
        return await connect(
            url,
            additional_headers=master.headers,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            max_size=WEBSOCKET_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            proxy=None,
            ssl=verify,
        )
    except InvalidStatus as error:
        raise BadReply(
            f"the master at {master.url} lets nobody watch: it answered {error.response.status_code}"
        ) from error
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise MasterUnreachable(
            f"the screen cannot be reached at the master {master.url}: {str(error) or type(error).__name__}"
        ) from error


async def _join(upstream: ClientConnection, scope: Scope, receive: Receive, send: Send) -> None:
    """Hand messages on both ways until either side ends."""
    await receive()  # the connect
    chosen = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
    await send({"type": "websocket.accept", "subprotocol": chosen})
    ways = {asyncio.ensure_future(way) for way in (_down(upstream, send), _up(upstream, receive))}
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        ended = await asyncio.gather(*ways, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception) and not isinstance(error, ConnectionClosed | OSError):
            raise error
    with suppress(OSError, RuntimeError):  # the browser may have gone first
        await send({"type": "websocket.close", "code": 1000})


async def _down(upstream: ClientConnection, send: Send) -> None:
    async for message in upstream:
        kind = "bytes" if isinstance(message, bytes) else "text"
        await send({"type": "websocket.send", kind: message})


async def _up(upstream: ClientConnection, receive: Receive) -> None:
    while (message := await receive())["type"] == "websocket.receive":
        given = message.get("bytes")
        await upstream.send(given if given is not None else message.get("text") or "")
