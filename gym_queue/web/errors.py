"""One place turns exceptions into replies; endpoints hold no try."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gym_queue.errors import (
    GymQueueError,
    MethodNotAllowed,
    NotFound,
    RequestInvalid,
    RequestMalformed,
    from_wire,
)

logger = logging.getLogger(__name__)

MethodsOf = Callable[[str], Sequence[str]]

CHALLENGE = 'Bearer realm="gym-anything"'
"""Goes with every 401 (RFC 9110, section 11.6.1)."""
SHOWN = 200
"""Characters of a caller's own words that an error repeats."""


def install_error_handlers(app: FastAPI, methods_of: MethodsOf = lambda _path: ()) -> None:
    """Make every exception of ``app`` a reply in the wire's form.

    Args:
        app: The app.
        methods_of: Path → the methods it takes; of a path with none, the first route's that is like it are told.
    """

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  registered for it alone
        return _refuse_call(request, error, methods_of)

    app.add_exception_handler(GymQueueError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, on_http)
    app.add_middleware(BugMiddleware)


class BugMiddleware:
    """Answers what no handler knows; starlette's own would raise it again after the reply, and uvicorn hang up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        started = False

        async def reply(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, reply)
        except HTTPException:  # starlette's own signal
            raise
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            await _answer_bug(Request(scope), error)(scope, receive, send)


def error_headers(error: GymQueueError) -> dict[str, str]:
    """Return the headers that go with an error: how to prove oneself, when to come again, which methods there are."""
    headers = {"WWW-Authenticate": CHALLENGE} if error.status == 401 else {}
    if error.status == 426:
        headers["Upgrade"] = "websocket"
    if "retry_after_s" in error.details:
        headers["Retry-After"] = str(max(1, round(error.details["retry_after_s"])))
    if "allow" in error.details:
        headers["Allow"] = ", ".join(error.details["allow"])
    return headers


def error_reply(
    error: GymQueueError, request_id: str | None = None, more: Mapping[str, str] | None = None
) -> Response:
    """Return the reply an error becomes, with ``more`` headers."""
    headers = {**error_headers(error), **(more or {})}
    body = json.dumps(error.to_wire(request_id), default=str)  # ASCII: an error may quote a lone surrogate
    return Response(body, error.status, headers, "application/json")


def _id_of(request: Request) -> str | None:
    return request.scope.get("request_id")


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GymQueueError)  # noqa: S101  registered for it alone
    if error.status >= 500:
        logger.warning("%s %s: %s", request.method, request.url.path, error)
    return error_reply(error, _id_of(request))


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  registered for it alone
    return error_reply(_explain(error.errors()), _id_of(request))


def _explain(problems: Sequence[dict[str, Any]]) -> GymQueueError:
    first = problems[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return RequestMalformed(
            f"the body is not JSON: {reason} at character {first['loc'][-1]}; send a JSON object"
        )
    where = ".".join(str(part) for part in first["loc"] if part != "body")[:SHOWN] or "the body"
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    reason = str(first["msg"]).removeprefix("Value error, ")
    return RequestInvalid(f"{where}: {reason}{more}", {"key": where})


def _refuse_call(request: Request, error: HTTPException, methods_of: MethodsOf) -> Response:
    what = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        return error_reply(
            NotFound(f"{what} is not served here: see /openapi.json for what is"), _id_of(request)
        )
    if error.status_code == 405:
        allowed = methods_of(request.scope["path"])
        refused = MethodNotAllowed(
            f"{what} is not a call: see /openapi.json for its method", {"allow": allowed} if allowed else None
        )
        return error_reply(refused, _id_of(request), None if allowed else error.headers)
    known = from_wire(error.status_code, {"error": f"{what}: {error.detail}"})
    reply = error_reply(known, _id_of(request))
    reply.status_code = error.status_code
    return reply


def _answer_bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    bug = GymQueueError("the server failed on this request, which is a bug of ours: its log has the details")
    return error_reply(bug, _id_of(request))
