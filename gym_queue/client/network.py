"""The two ways to wait: by blocking the thread, or by asyncio. All above is written once, as coroutines."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from gym_queue.client.http1 import Origin

T = TypeVar("T")

READ_BYTES = 64 * 1024
"""Most that one read takes."""
PEER_TIMEOUT_S = 30
"""A machine that acknowledges nothing for so long is gone: the connection breaks, however long its call may take."""
PROBE_S = 10


class Stream(Protocol):
    """A connection. Whatever fails raises OSError; what takes longer than its limit, TimeoutError."""

    async def send(self, data: bytes, timeout_s: float) -> None:
        """Send all of it."""

    async def receive(self, timeout_s: float) -> bytes:
        """Return what came; nothing when the other side has ended."""

    def take_early(self) -> bytes:
        """Return what came already, without a wait: while something large is sent, mostly nothing."""

    def is_stale(self) -> bool:
        """Whether an idle connection can carry no further call: ended, or holding bytes that nobody asked for."""

    def close(self) -> None:
        """End it."""


class Network(Protocol):
    """How to connect, to pause, and to do what blocks."""

    async def connect(self, origin: Origin, trust: ssl.SSLContext | None, timeout_s: float) -> Stream:
        """Return a new connection; ``trust`` is for https. Raises as a Stream does."""

    async def sleep(self, seconds: float) -> None:
        """Pause."""

    async def offload(self, work: Callable[[], T]) -> T:
        """Return what ``work``, which blocks, returns."""


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Return what a coroutine over a BlockingNetwork returns: it blocks where others suspend."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise AssertionError("a coroutine over a blocking network was suspended")


class BlockingNetwork:
    """Blocks the calling thread; its coroutines are never suspended.

    Args:
        sleep: Pauses, in seconds.
    """

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep

    async def connect(self, origin: Origin, trust: ssl.SSLContext | None, timeout_s: float) -> Stream:
        """See Network."""
        sock = socket.create_connection((origin.host, origin.port), timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _watch_peer(sock)
            return _BlockingStream(trust.wrap_socket(sock, server_hostname=origin.host) if trust else sock)
        except BaseException:
            sock.close()
            raise

    async def sleep(self, seconds: float) -> None:
        """See Network."""
        self._sleep(seconds)

    async def offload(self, work: Callable[[], T]) -> T:
        """See Network."""
        return work()


class _BlockingStream:
    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    async def send(self, data: bytes, timeout_s: float) -> None:
        self._socket.settimeout(timeout_s)
        self._socket.sendall(data)

    async def receive(self, timeout_s: float) -> bytes:
        self._socket.settimeout(timeout_s)
        return self._socket.recv(READ_BYTES)

    def take_early(self) -> bytes:
        if not self._poll.poll(0):
            return b""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):  # TLS talks of itself
            return b""

    def is_stale(self) -> bool:
        return bool(self._poll.poll(0))

    def close(self) -> None:
        self._socket.close()


class LoopNetwork:
    """Suspends the calling task of the running event loop."""

    async def connect(self, origin: Origin, trust: ssl.SSLContext | None, timeout_s: float) -> Stream:
        """See Network."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            transport, stream = await loop.create_connection(_LoopStream, origin.host, origin.port, ssl=trust)
        _watch_peer(transport.get_extra_info("socket"))
        return stream

    async def sleep(self, seconds: float) -> None:
        """See Network."""
        await asyncio.sleep(seconds)

    async def offload(self, work: Callable[[], T]) -> T:
        """See Network."""
        return await asyncio.to_thread(work)


def _watch_peer(sock: socket.socket) -> None:
    """Break the connection when the other machine is gone: without this, a call would wait for it until its deadline."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {
        "TCP_KEEPIDLE": PROBE_S,
        "TCP_KEEPALIVE": PROBE_S,  # the same, on macOS
        "TCP_KEEPINTVL": PROBE_S,
        "TCP_KEEPCNT": PEER_TIMEOUT_S // PROBE_S,
        "TCP_USER_TIMEOUT": PEER_TIMEOUT_S * 1000,  # of what was sent and not acknowledged
    }
    for name, value in options.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class _LoopStream(asyncio.Protocol):
    """Keeps what came until it is asked for; stops reading while that is much."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    async def send(self, data: bytes, timeout_s: float) -> None:
        assert self._transport is not None  # noqa: S101  create_connection has connected it
        if self._ended:
            raise self._error or ConnectionResetError("the server hung up")
        self._transport.write(data)
        if not self._writable.is_set():
            async with asyncio.timeout(timeout_s):
                await self._writable.wait()

    async def receive(self, timeout_s: float) -> bytes:
        if not self._received and not self._ended:
            self._changed.clear()
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        data = self.take_early()
        if not data and self._error is not None:
            raise self._error
        return data

    def take_early(self) -> bytes:
        data = bytes(self._received)
        self._received.clear()
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def is_stale(self) -> bool:
        return self._ended or bool(self._received)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()  # a call that was cancelled may have left much unsent

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._changed.set()
        if len(self._received) > READ_BYTES and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def _end(self, error: Exception | None) -> None:
        self._ended = True
        self._error = self._error or error
        self._changed.set()
        self._writable.set()
