"""People who watch environments: a WebSocket each, to the RFB server of the environment's screen."""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.errors import (
    Forbidden,
    GymQueueError,
    NotFound,
    RequestInvalid,
    RunnerFailed,
    TooManyConnections,
    Unauthorized,
    UpgradeRequired,
)
from gym_queue.log import log_ids
from gym_queue.runners.display.viewer import connect_viewer
from gym_queue.web.attempts import Attempts
from gym_queue.web.auth import TokenCheck, bearer_token, cookie_token, is_own_page, wrong_token
from gym_queue.web.errors import error_reply
from gym_queue.web.requestid import SAFE_ID
from gym_queue.worker.host import Host
from gym_queue.worker.relay import relay
from gym_queue.worker.tickets import TICKET_S, Tickets

logger = logging.getLogger(__name__)

CALL = "vnc"
VIEWERS_PER_ENV = 8
SUBPROTOCOL = "binary"
"""What noVNC asked for until its version 1.0, and others still do."""
VIEW_ONLY = {"1": True, "true": True, "0": False, "false": False}


def is_viewer(method: str, path: str) -> bool:
    """Whether a request that asks for a WebSocket gets one."""
    parts = path.split("/")
    return method == "GET" and len(parts) == 4 and parts[1] == "envs" and parts[3] == CALL


class Viewers:
    """Answers WebSockets; everything else goes to the app behind it.

    Args:
        app: What is behind it.
        host: The environments.
        tickets: Open one viewer each.
        check: Decides over path and token; None lets everybody in but other sites' pages.
        attempts: Makes wrong tokens and tickets cost time.
    """

    def __init__(
        self, app: ASGIApp, host: Host, tickets: Tickets, *, check: TokenCheck | None, attempts: Attempts
    ) -> None:
        self._app, self._host, self._tickets = app, host, tickets
        self._check, self._attempts = check, attempts
        self._counts: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "websocket":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        scope["query_string"] = b""  # the server logs it, and it may hold a ticket
        with log_ids(request_id=request_id):
            try:
                await self._serve(scope, query, request_id, receive, send)
            except GymQueueError as error:
                if isinstance(error, Unauthorized):
                    await self._attempts.failed((scope.get("client") or ("", 0))[0])
                await error_reply(error, request_id, {"X-Request-ID": request_id})(scope, receive, send)
            except OSError as error:
                logger.debug("a viewer went: %s", error)

    async def _serve(
        self, scope: Scope, query: dict[str, list[str]], request_id: str, receive: Receive, send: Send
    ) -> None:
        if not is_viewer("GET", scope["path"]):
            raise NotFound(f"{scope['path']} is no WebSocket: see /openapi.json for what is served")
        env_id = scope["path"].split("/")[2]
        self._authorize(scope, env_id, query)
        control = not _view_only(query)
        with self._counted(env_id):
            path = Path(await self._host.call(env_id, "open_view", {"control": control}))
            try:
                screen = connect_viewer(path)
            except OSError as error:
                raise RunnerFailed(
                    f"the screen of environment {env_id} cannot be reached: {error}"
                ) from error
            await receive()  # the connect
            chosen = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
            head = [(b"x-request-id", request_id.encode())]
            try:
                await send({"type": "websocket.accept", "subprotocol": chosen, "headers": head})
            except BaseException:
                screen.close()
                raise
            await relay(screen, receive, send)

    def _authorize(self, scope: Scope, env_id: str, query: dict[str, list[str]]) -> None:
        """See that a caller may watch: by a ticket, a token, or a cookie from a page of this server.

        Raises:
            Unauthorized: By none of them.
            Forbidden: A browser sent the request for a page of another server, which anybody may have written.
        """
        if "ticket" in query:
            if not self._tickets.redeem(env_id, query["ticket"][0]):
                raise Unauthorized(
                    f"the ticket is wrong, used or older than {TICKET_S:g} s: ask for another by POST /envs/{env_id}/vnc_ticket"
                )
            return
        headers = Headers(scope=scope)
        bearer = bearer_token(headers)
        token = bearer or cookie_token(headers.get("cookie", ""))
        if self._check is not None and (token is None or not self._check(scope["path"], token)):
            raise wrong_token(token)
        if "authorization" not in headers and not is_own_page(
            headers.get("origin", ""), headers.get("host", "")
        ):
            raise Forbidden(
                f"the page is not this server's: let it ask for a ticket by POST /envs/{env_id}/vnc_ticket, and connect with ?ticket="
            )

    @contextmanager
    def _counted(self, env_id: str) -> Iterator[None]:
        if self._counts[env_id] >= VIEWERS_PER_ENV:
            raise TooManyConnections(
                f"environment {env_id} has {VIEWERS_PER_ENV} viewers, as many as one may have: close one",
                {"retry_after_s": 1},
            )
        self._counts[env_id] += 1
        try:
            yield
        finally:
            self._counts[env_id] -= 1
            if not self._counts[env_id]:
                del self._counts[env_id]


def add_viewing(app: FastAPI, host: Host, tickets: Tickets) -> None:
    """Let the app give tickets, and say how to watch to who asks without a WebSocket."""

    @app.post("/envs/{env_id}/vnc_ticket")
    async def vnc_ticket(env_id: str) -> dict[str, Any]:
        """A ticket for one viewer."""
        host.get(env_id)
        return {"ticket": tickets.issue(env_id), "expires_s": TICKET_S}

    @app.get("/envs/{env_id}/vnc")
    async def vnc(env_id: str) -> None:
        """Viewers answers WebSockets before the app."""
        host.get(env_id)
        raise UpgradeRequired(
            "the screen is watched by a WebSocket: send Connection: Upgrade and Upgrade: websocket"
        )


def _view_only(query: dict[str, list[str]]) -> bool:
    given = query.get("view_only", ["1"])[-1]
    if given not in VIEW_ONLY:
        raise RequestInvalid(
            f"view_only is {given[:40]!r}: send 1, or 0 to act as well", {"key": "view_only"}
        )
    return VIEW_ONLY[given]
