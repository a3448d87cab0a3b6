"""Calls to a worker as spans."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gym_queue.tracing import NOWHERE, Notes, Trace, Tracing, is_sampled, trace_of

ALWAYS = frozenset({"create", "reset", "close"})
"""Calls that are spans whoever asks: few, and long. All others only when their caller keeps the trace."""
READ_BYTES = 1 << 16
"""Of an error's body."""


class TracedCalls:
    """Runs calls in spans: parts of what their callers do, or else of their environment's create.

    Args:
        app: What is behind it.
        tracing: Makes the spans.
        names: Of the calls that there are; what else is asked for is no span.
        created_in: Returns the trace that an environment was created in.
    """

    def __init__(
        self, app: ASGIApp, tracing: Tracing, names: frozenset[str], created_in: Callable[[str], Trace]
    ) -> None:
        self._app, self._tracing, self._names, self._created_in = app, tracing, names, created_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        env_id, call = _call_of(scope)
        trace = trace_of(Headers(scope=scope)) if call in self._names else NOWHERE
        if call not in self._names or not (is_sampled(trace) or call in ALWAYS):
            await self._app(scope, receive, send)
            return
        route = f"/envs/{{env_id}}/{call}" if env_id else f"/envs/{call}"
        told = {"http.request.method": scope["method"], "http.route": route}
        if env_id:
            told["gym_queue.env_id"] = env_id
        with self._tracing.span(
            f"{scope['method']} {route}", of=trace or self._created_in(env_id), kind="SERVER", told=told
        ) as notes:
            notes.note("gym_queue.request_id", scope.get("request_id", ""))
            await self._app(scope, receive, _Answer(send, notes))


class _Answer:
    """Sends an answer on, and tells its status and its error's code."""

    def __init__(self, send: Send, notes: Notes) -> None:
        self._send, self._notes = send, notes
        self._status, self._body = 0, b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._notes.note("http.response.status_code", self._status)
        elif message["type"] == "http.response.body" and self._status >= 400:
            self._body += message.get("body", b"")[:READ_BYTES]
            if not message.get("more_body", False):
                self._notes.fail(*_error_of(self._status, self._body[:READ_BYTES]))
        await self._send(message)


def names_of(paths: Iterable[str]) -> frozenset[str]:
    """Return the names of the calls about environments that these paths are of."""
    found = (path.split("/") for path in paths if path.startswith("/envs/"))
    return frozenset(parts[-1] for parts in found if "{" not in parts[-1])


def _call_of(scope: Scope) -> tuple[str, str]:
    """Return whose call it is and its name; of what is no call of environments, no name."""
    if scope["type"] != "http":
        return "", ""
    parts = scope["path"].split("/")
    if parts[1] != "envs" or len(parts) > 4:
        return "", ""
    if len(parts) == 3:
        return "", parts[2] if parts[2] == "create" else ""
    return parts[2], parts[3]


def _error_of(status: int, body: bytes) -> tuple[str, str]:
    """Return an error's code and its sentence."""
    try:
        found = json.loads(body)
        return str(found["code"]), str(found["error"])
    except (ValueError, TypeError, KeyError):
        return str(status), ""
