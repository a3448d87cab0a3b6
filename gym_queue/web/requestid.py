"""Request ids, and how long a worker took."""

from __future__ import annotations

import re
import time
import uuid

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gym_queue.log import log_ids

COLLECTION = ("create", "list")
"""Calls of all environments, where other calls name one."""
SAFE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestIdMiddleware:
    """Gives each request an id, in the scope, the log and the reply.

    Args:
        app: What is behind it.
        timing_header: Header for the seconds the request took; None sends none.
    """

    def __init__(self, app: ASGIApp, *, timing_header: str | None = None) -> None:
        self._app = app
        self._timing_header = timing_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if SAFE_ID.fullmatch(given) else uuid.uuid4().hex
        scope["request_id"] = request_id
        start = time.perf_counter()

        async def reply(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = request_id
                if self._timing_header:
                    headers[self._timing_header] = f"{time.perf_counter() - start:.6f}"
            await send(message)

        with log_ids(request_id=request_id, **_env_of(scope["path"])):
            await self._app(scope, receive, reply)


def _env_of(path: str) -> dict[str, str]:
    """Return the environment that a call is about, for the log."""
    if not path.startswith("/envs/"):
        return {}
    env_id = path[6:].partition("/")[0]
    return {"env_id": env_id} if SAFE_ID.fullmatch(env_id) and env_id not in COLLECTION else {}
