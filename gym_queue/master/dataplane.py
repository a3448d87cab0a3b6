"""Forwarding calls to workers: for now a plain stream by httpx, behind the seam a byte proxy will take."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import httpx
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gym_queue.errors import GatewayTimeout, WorkerUnreachable
from gym_queue.master.fleet import Fleet
from gym_queue.master.routes import Route, Routes

logger = logging.getLogger(__name__)

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers of one connection alone (RFC 9110, section 7.6.1)."""
CONNECT_TIMEOUT_S = 5.0


class Dataplane:
    """Sends a request on to its environment's worker, and the reply back, streamed.

    Args:
        client: For calls to workers.
        routes: Who is where.
        fleet: Counts the calls.
        token: Sent to workers in place of the caller's; None sends none.
        timeout_s: Longest a worker may take.
    """

    def __init__(
        self, client: httpx.AsyncClient, routes: Routes, fleet: Fleet, *, token: str | None, timeout_s: float
    ) -> None:
        self._client = client
        self._routes, self._fleet = routes, fleet
        self._token = token
        self._timeout = httpx.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S, pool=None)

    async def forward(self, request: Request, env_id: str) -> Response:
        """Forward one call.

        Raises:
            EnvNotFound, EnvLost: There is no such environment, or no more.
            WorkerUnreachable: The worker does not answer.
            GatewayTimeout: It took too long.
        """
        route = self._routes.forwardable(env_id)
        upstream = await self._send(request, route)
        self._fleet.count_call(route.worker_id, failed=False)
        if request.url.path.endswith("/close") and upstream.status_code in (200, 404):
            self._routes.remove(env_id, "closed")
            self._fleet.on_change()
        return StreamingResponse(
            upstream.aiter_raw(),
            status_code=upstream.status_code,
            headers=_kept(upstream.headers),
            background=BackgroundTask(upstream.aclose),
        )

    async def _send(self, request: Request, route: Route) -> httpx.Response:
        target = httpx.URL(route.worker_url).copy_with(
            raw_path=request.scope["raw_path"]
            + (b"?" + request.scope["query_string"] if request.url.query else b"")
        )
        headers = _kept(request.headers)
        headers.pop("host", None)
        headers["X-Request-ID"] = request.scope["request_id"]
        headers["X-Master-Timestamp"] = f"{time.time():.6f}"
        headers.pop("authorization", None)
        headers.pop("cookie", None)
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        forwarded = self._client.build_request(
            request.method,
            target,
            headers=headers,
            content=request.stream() if has_body else None,
            timeout=self._timeout,
        )
        try:
            return await self._client.send(forwarded, stream=True)
        except httpx.TimeoutException as error:
            self._fleet.count_call(route.worker_id, failed=True)
            raise GatewayTimeout(
                f"worker {route.worker_id} did not answer {request.url.path} in time",
                {"worker_id": route.worker_id},
            ) from error
        except httpx.HTTPError as error:
            self._fleet.count_call(route.worker_id, failed=True)
            raise WorkerUnreachable(
                f"worker {route.worker_id} at {route.worker_url} cannot be reached: {str(error) or type(error).__name__}",
                {"worker_id": route.worker_id},
            ) from error


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}
