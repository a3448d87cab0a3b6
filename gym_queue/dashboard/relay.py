"""One master behind a dashboard: the calls that are handed on to it, streamed, with the dashboard's own token."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import Request, Response
from starlette.datastructures import Headers

from gym_queue.errors import (
    BadReply,
    Forbidden,
    GatewayTimeout,
    MasterUnreachable,
    MethodNotAllowed,
    NotFound,
)
from gym_queue.tls import TlsFiles, explain, verify_of
from gym_queue.web.relayed import Relayed

TIMEOUTS = {
    "GET": httpx.Timeout(
        20.0, connect=4.0
    ),  # between two parts of an answer: a live stream says something each 10 s
    "POST": httpx.Timeout(60.0, connect=4.0),
}
CONNECTIONS = 2000
"""To one master at once; each live page holds one."""
TARGET_CHARS = 8192
_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
_PART = r"[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~!$&'()*+,;=:@-]*"
_READS = re.compile(rf"/(?:api|envs|workers)(?:/{_PART})+|/queue|/health")
_ACTS = re.compile(
    rf"/envs/{_ID}/(?:close|vnc_ticket)|/api/envs/{_ID}/hand|/workers/(?:un)?drain|/api/tasks/{_ID}/revoke"
)
_QUERY = re.compile(r"[!-\"$-~]*")
REQUEST_HEADERS = (
    *("accept", "content-type", "range", "if-none-match", "if-modified-since", "if-range"),
    *("last-event-id", "idempotency-key"),
)
"""All that is handed on of a browser's: neither its cookie nor its Authorization."""
REPLY_HEADERS = (
    *("content-type", "content-length", "content-encoding", "content-range", "content-disposition"),
    *("accept-ranges", "etag", "last-modified", "cache-control", "vary", "retry-after", "allow"),
    *("x-screen-size", "x-frame-at", "x-worker-processing-time"),
)


@dataclass(frozen=True, slots=True)
class MasterAddress:
    """A master, as the dashboard's user named it."""

    name: str
    url: str


class MasterRelay:
    """Hands calls on to one master.

    Args:
        address: Where it is; its URL has no credentials.
        token: Shown to it, and to nobody else; None shows none.
        tls: What an https master is verified by.
        read_only: Whether calls that act are refused here.

    Raises:
        StartupFailed: A file of ``tls`` cannot be used.
    """

    def __init__(
        self,
        address: MasterAddress,
        token: str | None,
        *,
        tls: TlsFiles | None = None,
        read_only: bool = False,
    ) -> None:
        self.name, self.url = address.name, address.url.rstrip("/")
        self.read_only = read_only
        self.verify = verify_of(tls or TlsFiles())
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=50)
        self._client = httpx.AsyncClient(
            headers=self.headers, trust_env=False, verify=self.verify, limits=limits, follow_redirects=False
        )

    async def relay(self, request: Request, path: str) -> Response:
        """Return what the master answers to a browser's call.

        Args:
            request: The browser's.
            path: Of the master, as the browser wrote it.

        Raises:
            NotFound, MethodNotAllowed: It is no call that is handed on.
            Forbidden: It acts, and this dashboard only reads.
            MasterUnreachable, GatewayTimeout, BadReply: The master does not answer, or refuses this program.
        """
        self.check(request.method, path)
        query = request.scope["query_string"].decode("latin-1")
        if len(path) + len(query) > TARGET_CHARS or not _QUERY.fullmatch(query):
            raise NotFound("the address is too long, or holds what no address may: let the page write it")
        body = await request.body() if request.method == "POST" else None
        headers = _for_master(request.headers, request.scope.get("request_id"))
        target = f"{self.url}{path}{'?' if query else ''}{query}"
        reply = await self._send(request.method, target, headers, body)
        if reply.status_code in (401, 403):
            await reply.aclose()
            raise self._refused(reply.status_code)
        kept = {name: reply.headers[name] for name in REPLY_HEADERS if name in reply.headers}
        return Relayed(reply, kept)

    def check(self, method: str, path: str) -> None:
        """See that a call may be handed on.

        Raises:
            NotFound, MethodNotAllowed: It is none of those that are.
            Forbidden: It acts, and this dashboard only reads.
        """
        if _ACTS.fullmatch(path) and method == "POST":
            if self.read_only:
                raise Forbidden(
                    "this dashboard only reads: start it without --read-only and --no-auth, with a token that may act"
                )
            return
        if not _READS.fullmatch(path):
            raise NotFound(f"{method} {path[:200]} is not handed on to a master: ask the master itself")
        if method not in ("GET", "HEAD"):
            raise MethodNotAllowed(
                f"{method} {path[:200]} is not handed on: ask the master itself", {"allow": ["GET"]}
            )

    async def me(self, request_id: str | None) -> dict[str, Any]:
        """Return who this dashboard is to its master, and whether its page may act there."""
        reply = await self._send("GET", f"{self.url}/api/me", _for_master(Headers(), request_id), None)
        try:
            if reply.status_code in (401, 403):
                raise self._refused(reply.status_code)
            await reply.aread()
            found = reply.json() if reply.status_code == 200 else {}
        except (ValueError, httpx.HTTPError):
            found = {}
        finally:
            await reply.aclose()
        told: dict[str, Any] = found if isinstance(found, dict) else {}
        said = told.get("master")
        of_master: dict[str, Any] = said if isinstance(said, dict) else {}
        return {
            "role": str(told.get("role", "unknown")),
            "may_act": told.get("may_act") is True and not self.read_only,
            "master": {
                "version": None,
                "started_at": None,
                "as_of": time.time(),
                **of_master,
                "url": self.url,
            },
        }

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _send(
        self, method: str, target: str, headers: dict[bytes, bytes], body: bytes | None
    ) -> httpx.Response:
        timeout = TIMEOUTS["POST" if method == "POST" else "GET"]
        try:
            request = self._client.build_request(
                method, target, headers=headers, content=body, timeout=timeout
            )
            return await self._client.send(request, stream=True)
        except (httpx.ReadTimeout, httpx.PoolTimeout) as error:
            raise GatewayTimeout(
                f"the master at {self.url} does not answer in time: it is too busy, or hangs"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = explain(error) or str(error) or type(error).__name__
            raise MasterUnreachable(
                f"the master at {self.url} does not answer ({reason}): is it running, and is --master-url right?"
            ) from error

    def _refused(self, status: int) -> BadReply:
        # Not handed on as a 401: the browser's token is right, this program's is not.
        what = (
            "refuses this dashboard's token"
            if status == 401
            else "does not let this dashboard's token do that"
        )
        return BadReply(f"the master at {self.url} {what}: start the dashboard with another --token")


def _for_master(headers: Headers, request_id: str | None) -> dict[bytes, bytes]:
    """Return what a master is told of a browser's request, its values byte for byte."""
    kept = {name: headers[name] for name in REQUEST_HEADERS if name in headers}
    kept["accept-encoding"] = headers.get("accept-encoding", "identity")
    if request_id is not None:
        kept["x-request-id"] = request_id
    return {name.encode(): value.encode("latin-1") for name, value in kept.items()}
