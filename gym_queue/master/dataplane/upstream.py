"""Kept-alive connections to workers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
IDLE_EXPIRY_S = 55.0
"""Below the 75 s after which our workers hang up, so that a request seldom meets a closing connection."""
MAX_IDLE = 1024
"""Idle connections kept per worker."""
MAX_CONNECTIONS = 4096
"""Connections per worker; further calls wait for one."""


class Listener(Protocol):
    """Whoever uses a connection for one exchange."""

    def upstream_data(self, data: bytes) -> None:
        """Take bytes of the reply."""

    def upstream_closed(self, error: Exception | None) -> None:
        """The connection has ended."""

    def upstream_paused(self, *, paused: bool) -> None:
        """The connection's send buffer is full, or has room again."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to a worker; used by one exchange at a time."""

    __slots__ = ("idle_since", "keep_alive", "listener", "pool", "transport")

    def __init__(self, pool: UpstreamPool) -> None:
        self.pool = pool
        self.listener: Listener | None = None
        self.idle_since = 0.0
        self.keep_alive = True
        """Whether the worker will take another request on it."""
        self.transport: asyncio.Transport = None  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Hand on a reply's bytes; a worker that speaks unasked is hung up on."""
        if self.listener is None:
            self.close()
        else:
            self.listener.upstream_data(data)

    def eof_received(self) -> bool:
        """Close: a worker that has ended its side answers no more."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever used it, and the pool."""
        self.pool.forget()
        if self.listener is not None:
            listener, self.listener = self.listener, None
            listener.upstream_closed(exc)

    def pause_writing(self) -> None:
        """Ask for less."""
        if self.listener is not None:
            self.listener.upstream_paused(paused=True)

    def resume_writing(self) -> None:
        """Ask for more."""
        if self.listener is not None:
            self.listener.upstream_paused(paused=False)

    def release(self) -> None:
        """Give the connection back, its reply fully read."""
        self.listener = None
        self.pool.put(self)

    def close(self) -> None:
        """End the connection, telling nobody."""
        self.listener = None
        self.transport.abort()


class UpstreamPool:
    """Connections to one worker.

    Args:
        url: The worker's URL.
        loop: The loop everything lives on.
    """

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self.host_header = parts.netloc.encode("latin-1")
        self._loop = loop
        self._idle: deque[UpstreamConnection] = deque()
        self._count = 0
        self._waiters: deque[asyncio.Future[UpstreamConnection | None]] = deque()

    def idle(self) -> UpstreamConnection | None:
        """Return a connection that is ready at once, the one used last; None when there is none."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection
        return None

    async def connect(self) -> UpstreamConnection:
        """Return a new connection, or one that comes free while as many as allowed are open.

        Raises:
            OSError: The worker refuses, cannot be reached, or does not answer in time.
        """
        while self._count >= MAX_CONNECTIONS:
            waiter: asyncio.Future[UpstreamConnection | None] = self._loop.create_future()
            self._waiters.append(waiter)
            freed = await waiter
            if freed is not None:
                return freed
        self._count += 1
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await self._loop.create_connection(
                    lambda: UpstreamConnection(self), self.host, self.port
                )
        except BaseException:
            self._count -= 1
            self._wake()
            raise
        return connection

    def put(self, connection: UpstreamConnection) -> None:
        """Take back a connection that can be used again."""
        if connection.transport.is_closing():
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if len(self._idle) >= MAX_IDLE:
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    def forget(self) -> None:
        """Count a connection that has ended."""
        self._count -= 1
        self._wake()

    def expire(self) -> None:
        """Close connections that were idle too long; the oldest stand first."""
        limit = time.monotonic() - IDLE_EXPIRY_S
        while self._idle and (self._idle[0].idle_since < limit or self._idle[0].transport.is_closing()):
            self._idle.popleft().close()

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()

    @property
    def count(self) -> int:
        """Connections that are open or being opened."""
        return self._count

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class UpstreamPools:
    """The pools of all workers, by URL.

    Args:
        on_idle: Tells whether a worker's URL is still of use.
    """

    def __init__(self, on_idle: Callable[[str], bool] = lambda _url: True) -> None:
        self._pools: dict[str, UpstreamPool] = {}
        self._is_used = on_idle

    def get(self, url: str) -> UpstreamPool:
        """Return the pool of a worker."""
        pool = self._pools.get(url)
        if pool is None:
            pool = self._pools[url] = UpstreamPool(url, asyncio.get_running_loop())
        return pool

    def expire(self) -> None:
        """Close connections that were idle too long, and forget pools without any."""
        for url, pool in list(self._pools.items()):
            pool.expire()
            if pool.count == 0 and not self._is_used(url):
                del self._pools[url]

    def close(self) -> None:
        """Close every idle connection."""
        for pool in self._pools.values():
            pool.close()
