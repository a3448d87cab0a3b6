"""What all connections share: who is where, who may, how long, and what is counted."""

from __future__ import annotations

import asyncio
import hmac
import logging
import ssl
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Literal

from gym_queue.errors import MasterUnreachable, MethodNotAllowed
from gym_queue.master.dataplane.exchange import ENV_LOST, Exchange
from gym_queue.master.dataplane.head import RequestHead
from gym_queue.master.dataplane.limits import DEFAULT_LIMITS, Limits
from gym_queue.master.dataplane.protocol import GatewayProtocol
from gym_queue.master.dataplane.upstream import UpstreamPools
from gym_queue.master.dataplane.viewers import bears_ticket, check_page, is_page_call
from gym_queue.master.fleet import Fleet
from gym_queue.master.routes import CLOSED, Route, Routes, RouteState
from gym_queue.protocol.methods import Methods
from gym_queue.stats.latency import CallStats
from gym_queue.web.auth import cookie_token
from gym_queue.web.limits import Addresses

logger = logging.getLogger(__name__)

CALLS = frozenset(
    [
        "reset",
        "step",
        "close",
        "capture_observation",
        "trajectory_event",
        "fetch_path",
        "episode_dir",
        "session_info",
        "episode_limits",
        "save_state",
        "load_state",
        "pause_recording",
        "resume_recording",
        "copy_to_env",
        "copy_from_env",
        "files",
        "keepalive",
        "vnc",
        "vnc_ticket",
        "logs",
        "screen",
        "calls",
        "trajectory",
        "artifacts",
    ]
)

NO_METHODS = Methods(())
TARGETS = 16_384
"""Requests' targets whose reading is remembered."""


class Gateway:
    """Routes requests by their heads, and watches over connections and calls.

    Args:
        routes: Who is where.
        fleet: Counts calls and failures.
        token: The cluster token; None lets everybody in.
        worker_token: Sent to workers in place of what the client sent.
        timeout_s: Longest a call may go without progress: its request's last byte to its reply's first, mostly.
        limits: What connections may take.
        verify: What https workers are verified by, as UpstreamPool takes it.
        others: Whether a token that is not the cluster's opens an environment.
        methods: Told to whom asks by a method that nothing serves.
    """

    def __init__(
        self,
        routes: Routes,
        fleet: Fleet,
        *,
        token: str | None,
        worker_token: str,
        timeout_s: float,
        limits: Limits = DEFAULT_LIMITS,
        verify: ssl.SSLContext | Literal[True] = True,
        others: Callable[[str, str], bool] = lambda _token, _env_id: False,
        methods: Methods = NO_METHODS,
    ) -> None:
        self._routes, self._fleet = routes, fleet
        self._others, self._methods = others, methods
        self.expect(token)
        self.timeout_s = timeout_s
        self._sweeper: asyncio.Task[None] | None = None
        self.limits = limits
        self.connections: set[GatewayProtocol] = set()
        self.addresses = Addresses(limits.per_address)
        self.bug_count = 0
        """Connections that a bug of ours ended; each is in the log."""
        self.pools = UpstreamPools(limits, verify=verify)
        self.show_workers(worker_token)
        self.stats = CallStats(CALLS)

    def expect(self, token: str | None) -> None:
        """Take another cluster token from now on; None lets everybody in."""
        self._expected = None if token is None else b"Bearer " + token.encode()

    def show_workers(self, token: str) -> None:
        """Send workers another token from now on."""
        self.worker_auth = b"authorization: Bearer %b\r\n" % token.encode()

    def start(self) -> None:
        """Watch over deadlines and idle connections from now on."""
        self._sweeper = asyncio.ensure_future(self._sweep())

    def protocol(self) -> type[GatewayProtocol]:
        """Return the protocol class for uvicorn."""
        return type("BoundGatewayProtocol", (GatewayProtocol,), {"gateway": self})

    @property
    def active_count(self) -> int:
        """Calls that are being forwarded."""
        return sum(connection.exchange is not None for connection in self.connections)

    def route(self, head: RequestHead) -> tuple[Route, str] | None:
        """Return where a request goes and what it calls; None for the app behind the gateway.

        Raises:
            Forbidden: Another server's page asks for a WebSocket without a ticket.
        """
        place = _place(head.target)
        if place is None:
            return None
        route = self._routes.find(place[0])
        if route is None or route.state is not RouteState.READY:
            return None  # the app says why
        if head.is_upgrade and bears_ticket(head, place[1]):
            return route, place[1]
        if not self._may(head, place[0]):
            return None
        if head.is_upgrade:
            check_page(head, place[0])
        return route, place[1]

    def auth_of(self, head: RequestHead, call: str) -> bytes:
        """Return the header that opens the worker to a call."""
        return b"" if head.is_upgrade and bears_ticket(head, call) else self.worker_auth

    def with_methods(self, error: MethodNotAllowed, target: bytes) -> MethodNotAllowed:
        """Return the refusal of a method with those that the target takes, as RFC 9110 (section 15.5.6) asks."""
        path = target.partition(b"?")[0].decode("ascii")
        return MethodNotAllowed(error.message, {**error.details, "allow": list(self._methods.of(path))})

    def deadline(self) -> float:
        """Return until when a call that starts now may take, in monotonic seconds."""
        return time.monotonic() + self.timeout_s

    def on_gone(self, exchange: Exchange, status: int) -> None:
        """A worker answers that it has closed an environment, or does not have it any more: its route ends."""
        route = exchange.route
        is_closed = exchange.call == "close" and exchange.head.method == b"POST" and status in (200, 404)
        is_lost = status == ENV_LOST and not self.closes(route.env_id)  # else the close ends it, in a moment
        if self._routes.find(route.env_id) is route and (is_closed or is_lost):
            self._routes.remove(route.env_id, CLOSED if is_closed else "its worker does not have it any more")
            self._fleet.on_change()

    def closes(self, env_id: str) -> bool:
        """Return whether a client's close of an environment is at its worker."""
        exchanges = [connection.exchange for connection in self.connections]
        return any(
            exchange is not None and exchange.call == "close" and exchange.route.env_id == env_id
            for exchange in exchanges
        )

    def closing(self) -> frozenset[str]:
        """Return the environments whose close is at their worker."""
        exchanges = [connection.exchange for connection in self.connections]
        return frozenset(each.route.env_id for each in exchanges if each is not None and each.call == "close")

    def on_unreachable(self, worker_id: str) -> None:
        """A worker could not be reached, or hung up on a call."""
        self._fleet.suspect(worker_id)

    def on_end(self, exchange: Exchange, seconds: float, *, failed: bool) -> None:
        """A call has ended, one way or another."""
        worker_id = exchange.route.worker_id
        self._fleet.count_call(worker_id, failed=failed)
        self.stats.add(worker_id, exchange.call, seconds, failed=failed)

    async def close(self) -> None:
        """End every call, and every connection to clients and workers."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections):
            connection.stop(MasterUnreachable("the master is stopping: try again in a moment"))
        self.pools.close()
        await asyncio.sleep(0)  # for the connections' ends to be heard

    def _may(self, head: RequestHead, env_id: str) -> bool:
        if self._expected is None:
            return True
        given = head.fields.get(b"authorization")
        if given is not None and hmac.compare_digest(given, self._expected):
            return True
        token = _token_of(head, given)
        if token is None:
            return False
        return hmac.compare_digest(b"Bearer " + token.encode(), self._expected) or self._others(token, env_id)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self.limits.sweep_s)
            now = time.monotonic()
            for connection in list(self.connections):
                if connection.exchange is not None and connection.exchange.deadline < now:
                    _guarded(connection, connection.exchange.time_out)
                _guarded(connection, partial(connection.check_patience, now))
            self.pools.expire()


def _token_of(head: RequestHead, authorization: bytes | None) -> str | None:
    """Return the token a request bears, as the app reads it: a call that reads, or that our page makes, as a cookie."""
    if authorization is not None:
        scheme, _, token = authorization.decode("latin-1").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else None
    if b"cookie" not in head.fields:
        return None
    if head.method in (b"GET", b"HEAD") or (head.method == b"POST" and is_page_call(head)):
        return cookie_token(head.fields[b"cookie"].decode("latin-1"))
    return None


@lru_cache(TARGETS)
def _place(target: bytes) -> tuple[str, str] | None:
    """Return the environment and the call that a target names; None when it is not for a worker."""
    path = target.partition(b"?")[0]
    if not path.startswith(b"/envs/") or b"%" in path or b"/." in path or b"#" in path:
        return None  # some of these a worker could read as another path than ours
    _, _, env_id, *call = path.split(b"/", 3)
    return (env_id.decode("ascii"), call[0].decode("ascii")) if call and call[0] else None


def _guarded(connection: GatewayProtocol, work: Callable[[], None]) -> None:
    """Run a part of the sweep: a bug in it must end one connection, not the sweep."""
    try:
        work()
    except Exception:
        logger.exception("a connection could not be swept, which is a bug")
        connection.crashed()
