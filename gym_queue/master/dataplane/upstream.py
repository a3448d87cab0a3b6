"""Kept-alive connections to workers."""

from __future__ import annotations

import asyncio
import select
import ssl
import time
from collections import deque
from typing import Literal, Protocol
from urllib.parse import urlsplit

from gym_queue.master.dataplane.limits import Limits
from gym_queue.master.dataplane.memo import reply_memo
from gym_queue.tls import explain


class Listener(Protocol):
    """Whoever uses a connection for one exchange."""

    def upstream_data(self, data: bytes) -> None:
        """Take bytes of the reply."""

    def upstream_closed(self, error: Exception | None) -> None:
        """The connection has ended."""

    def upstream_paused(self, *, paused: bool) -> None:
        """The connection's send buffer is full, or has room again."""


FRESH_S = 1.0
"""Idle for less than this, a connection counts as still open: servers hang up on those idle for longer."""


class UpstreamConnection(asyncio.Protocol):
    """One connection to a worker; used by one exchange at a time."""

    __slots__ = ("_readable", "idle_since", "keep_alive", "listener", "memo", "pool", "transport")

    def __init__(self, pool: UpstreamPool) -> None:
        self.pool = pool
        self.listener: Listener | None = None
        self.idle_since = 0.0
        self.keep_alive = True
        """Whether the worker will take another request on it."""
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self._readable = select.poll()
        self.memo = reply_memo()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = transport  # type: ignore[assignment]
        self._readable.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.pool.open.add(self)

    def data_received(self, data: bytes) -> None:
        """Hand on a reply's bytes; a worker that speaks unasked is hung up on."""
        if self.listener is None:
            self.close()
        else:
            self.listener.upstream_data(data)

    def eof_received(self) -> bool:
        """Hang up: a worker that has ended its side answers no more, and may not read what is still unsent."""
        self.transport.abort()
        return self.transport.get_extra_info("ssl_object") is None  # TLS has no half to keep open

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever used it, and the pool."""
        self.pool.forget(self)
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

    def is_usable(self, now: float) -> bool:
        """Whether an idle connection is still open, as far as this machine knows; its end may wait to be read."""
        if self.transport.is_closing():
            return False
        # The poll is a system call: a connection that was used just now is spared it, as one in use would be. Its
        # end is heard at the loop's next turn.
        return now - self.idle_since < FRESH_S or not self._readable.poll(0)

    def release(self, now: float) -> None:
        """Give the connection back, its reply fully read."""
        self.listener = None
        if self.transport.get_write_buffer_size():  # answered before it read the whole request
            self.close()
        else:
            self.pool.put(self, now)

    def close(self) -> None:
        """End the connection, telling nobody."""
        self.listener = None
        self.transport.abort()


class UpstreamPool:
    """Connections to one worker.

    Args:
        url: The worker's URL.
        limits: How many, how long.
        loop: The loop everything lives on.
        verify: What https workers are verified by, and the certificate to show them; True is the system's CAs.
    """

    def __init__(
        self,
        url: str,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        *,
        verify: ssl.SSLContext | Literal[True] = True,
    ) -> None:
        self._url, self._limits, self._loop, self._verify = url, limits, loop, verify
        self.host_header = url.partition("://")[2].rstrip("/").encode()
        self.open: set[UpstreamConnection] = set()
        self._opening = 0
        self._idle: deque[UpstreamConnection] = deque()
        self._waiters: deque[asyncio.Future[UpstreamConnection | None]] = deque()
        self._was_empty = False

    def idle(self, now: float) -> UpstreamConnection | None:
        """Return a connection that is ready at once, the one used last; None when there is none."""
        self._was_empty = False
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable(now):
                return connection
            connection.close()
        return None

    async def connect(self) -> UpstreamConnection:
        """Return a new connection, or one that comes free while as many as allowed are open.

        Raises:
            OSError: The worker refuses, cannot be reached, or does not answer in time.
            ValueError: Its URL cannot be connected to.
        """
        limits = self._limits
        while self.count >= limits.worker_connections or self._opening >= limits.worker_opening:
            # One may have been put back since the caller looked, or since somebody was woken to look again.
            freed = self.idle(time.monotonic()) or await self._next_free()
            if freed is not None and not freed.transport.is_closing():
                return freed
        self._opening += 1
        connection = UpstreamConnection(self)
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await self._open(connection)
        except BaseException:
            self._opening -= 1
            self.forget(connection)  # not every loop tells a connection that was given up at once of its end
            raise
        self._opening -= 1
        self._wake()
        return connection

    def put(self, connection: UpstreamConnection, now: float) -> None:
        """Take back a connection that can be used again."""
        if connection.transport.is_closing():
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        if len(self._idle) >= self._limits.worker_idle:
            connection.close()
            return
        connection.idle_since = now
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        """Count a connection that has ended."""
        self.open.discard(connection)
        self._wake()

    def expire(self) -> bool:
        """Close connections that were idle too long; the oldest stand first.

        Returns:
            Whether nobody has used the pool since the last time, and nothing is left in it.
        """
        limit = time.monotonic() - self._limits.worker_idle_s
        while self._idle and (self._idle[0].idle_since < limit or self._idle[0].transport.is_closing()):
            self._idle.popleft().close()
        was_empty, self._was_empty = self._was_empty, self.count == 0 and not self._waiters
        return was_empty and self._was_empty

    def close(self) -> None:
        """Close every idle connection."""
        while self._idle:
            self._idle.pop().close()

    @property
    def count(self) -> int:
        """Connections that are open or being opened."""
        return len(self.open) + self._opening

    async def _open(self, connection: UpstreamConnection) -> None:
        parts = urlsplit(self._url)
        is_tls = parts.scheme == "https"
        try:
            await self._loop.create_connection(
                lambda: connection,
                parts.hostname or "",
                parts.port or (443 if is_tls else 80),
                ssl=self._verify if is_tls else None,
            )
        except ssl.SSLError as error:
            raise ConnectionError(explain(error) or str(error)) from error

    async def _next_free(self) -> UpstreamConnection | None:
        """Wait for a connection, or for room to make one."""
        waiter: asyncio.Future[UpstreamConnection | None] = self._loop.create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it came too late: it is the next one's
                freed = waiter.result()
                if freed is None:
                    self._wake()
                else:
                    self.put(freed, time.monotonic())
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class UpstreamPools:
    """The pools of all workers, by URL.

    Args:
        limits: Of each pool.
        verify: As UpstreamPool takes it.
    """

    def __init__(self, limits: Limits, *, verify: ssl.SSLContext | Literal[True] = True) -> None:
        self._limits, self._verify = limits, verify
        self._pools: dict[str, UpstreamPool] = {}

    def get(self, url: str) -> UpstreamPool:
        """Return the pool of a worker."""
        pool = self._pools.get(url)
        if pool is None:
            loop = asyncio.get_running_loop()
            pool = self._pools[url] = UpstreamPool(url, self._limits, loop, verify=self._verify)
        return pool

    @property
    def count(self) -> int:
        """Connections to all workers."""
        return sum(pool.count for pool in self._pools.values())

    def expire(self) -> None:
        """Close connections that were idle too long, and forget pools that nobody uses."""
        for url, pool in list(self._pools.items()):
            if pool.expire():
                del self._pools[url]

    def close(self) -> None:
        """Close every idle connection."""
        for pool in self._pools.values():
            pool.close()
