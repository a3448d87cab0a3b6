"""Listening sockets, an event loop on a thread of its own, and uvicorn on it."""

from __future__ import annotations

import asyncio
import errno
import queue
import resource
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

from gym_queue.errors import StartupFailed

T = TypeVar("T")

STOP_TIMEOUT_S = 10.0
AUTO_PORT_TRIES = 100


def bind(host: str, port: int, *, auto_port: bool = False) -> socket.socket:
    """Return a socket bound to an address, for a server to listen on.

    Args:
        host: Name or address.
        port: 0 takes a free one.
        auto_port: Try the ports after ``port`` when it is taken.

    Raises:
        StartupFailed: The port is taken, not allowed, or the address is not this machine's.
    """
    for candidate in range(port, min(port + AUTO_PORT_TRIES, 65536) if auto_port and port else port + 1):
        try:
            return _bind(host, candidate)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and auto_port:
                continue
            raise StartupFailed(_why(host, candidate, error)) from error
        except (UnicodeError, OverflowError) as error:
            raise StartupFailed(
                f"{host!r} port {candidate} is not an address to listen on: {error}"
            ) from error
    raise StartupFailed(
        f"no port from {port} to {port + AUTO_PORT_TRIES - 1} on {host} is free: name one with --port"
    )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen(2048)  # EADDRINUSE shows here when another process listens with SO_REUSEADDR
    except BaseException:
        bound.close()
        raise
    return bound


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} on {host} is taken: stop what listens there, or choose another with --port or --auto-port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} on {host} is not allowed for this user: choose one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with --host"


class LoopThread:
    """An event loop on a thread of its own, for programs whose main thread belongs to somebody else."""

    def __init__(self, name: str = "loop") -> None:
        self._loop = new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        return self._loop

    def start(self) -> None:
        """Run the loop."""
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run a coroutine on the loop, from another thread, and return its result.

        Raises:
            TimeoutError: It took longer than ``timeout_s``.
            RuntimeError: The loop has ended.
        """
        if not self._loop.is_running() and not self._thread.is_alive():
            work.close()
            raise RuntimeError("the event loop has ended")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except BaseException:
            future.cancel()  # nobody waits for it any more; one that has ended is not touched
            raise

    def stop(self) -> None:
        """Cancel what still runs and end the loop."""
        if not self._thread.is_alive():
            self._loop.close()
            return
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result(STOP_TIMEOUT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_TIMEOUT_S)
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()


OPEN_FILES = 65_536
"""What a server asks the system for: each connection takes a file descriptor, a forwarded call two."""
WEBSOCKET_BYTES = 1 << 20
"""Largest message of a viewer."""
DOORS = 16
"""Handles on the listening socket: libuv accepts one connection per handle and turn of the loop."""


class HttpServer:
    """An ASGI app served on the running loop.

    Args:
        app: Served.
        bound: Socket of ``bind``; closed by ``stop``.
        protocol: What speaks HTTP; None is uvicorn's own.
        tls: How to serve https; None serves plain HTTP.
    """

    def __init__(
        self,
        app: ASGIApp,
        bound: socket.socket,
        *,
        protocol: type[asyncio.Protocol] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._bound = bound
        self._server = uvicorn.Server(server_config(app, protocol, tls))
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve from now on."""
        _allow_open_files()
        doors = [self._bound, *(self._bound.dup() for _ in range(DOORS - 1))]
        self._task = asyncio.ensure_future(self._server.serve(sockets=doors))
        while not self._server.started and not self._task.done():  # noqa: ASYNC110  uvicorn has no event
            await asyncio.sleep(0.005)
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Finish what is being served and close the socket."""
        self._server.should_exit = True
        if self._task is not None:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self._task
        self._bound.close()


def _allow_open_files() -> None:
    """Raise this process's limit of open files as far as the system allows without asking."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _cancel_all() -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


@contextmanager
def caught_signals(
    *, first: Callable[[], None] = lambda: None, again: Callable[[], None] = lambda: None
) -> Iterator[Callable[[], int]]:
    """Catch SIGINT and SIGTERM inside the block, in the main thread; handlers are put back after it.

    Args:
        first: Called on the first signal.
        again: Called on each later one: somebody is in a hurry.

    Yields:
        What blocks until the first of them came and returns its number. Say that a program is ready inside the
        block: whoever hears it may end the program at once.
    """
    caught: queue.SimpleQueue[int] = queue.SimpleQueue()
    pending = iter((first,))

    def handle(number: int, _frame: FrameType | None) -> None:
        next(pending, again)()
        caught.put(number)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield caught.get
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def shown_host(host: str) -> str:
    """Return how the address a server listens on is written in a URL for people of this machine."""
    if host in ("0.0.0.0", "::", "127.0.0.1", "::1"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop loop where there is one, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def server_config(
    app: ASGIApp, protocol: type[asyncio.Protocol] | None = None, tls: ssl.SSLContext | None = None
) -> uvicorn.Config:
    """Return how all our programs run uvicorn: its log stays quiet, ours speaks."""
    config = uvicorn.Config(
        app,
        http=protocol or "httptools",
        ws="none",  # a Door may take some all the same
        ws_max_size=WEBSOCKET_BYTES,
        ws_per_message_deflate=False,  # what a screen sends is packed already
        loop="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # a forwarded address must not pass for the peer: loopback has rights
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
    )
    config.load()
    config.ssl = tls
    return config
