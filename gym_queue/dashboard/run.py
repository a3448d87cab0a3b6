"""Composes the standalone dashboard: options → reader → app → HTTP."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from gym_queue.dashboard.app import MasterReader, make_dashboard_app
from gym_queue.errors import RequestInvalid
from gym_queue.settings import DEFAULT_DASHBOARD_PORT
from gym_queue.tls import TlsFiles
from gym_queue.web.server import HttpServer, LoopThread, bind, caught_signals, shown_host

START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """What ``gym-anything-dashboard`` takes."""

    master_url: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_DASHBOARD_PORT
    auto_port: bool = False
    token: str | None = field(default=None, repr=False)
    """Shown to the master, and asked of callers unless ``no_auth``."""
    no_auth: bool = False
    tls: TlsFiles = field(default_factory=TlsFiles)
    """What an https master is verified by, and the certificate to show it."""

    @property
    def access_token(self) -> str | None:
        """What callers must show; None lets everybody in."""
        return None if self.no_auth else self.token


class Dashboard:
    """A standalone dashboard on an event loop.

    Args:
        options: All of its options.
        bound: Where to listen.
    """

    def __init__(self, options: DashboardOptions, bound: socket.socket) -> None:
        self._options = options
        self._bound = bound
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Serve from now on."""
        master = MasterReader(self._options.master_url, self._options.token, tls=self._options.tls)
        self._stack.push_async_callback(master.close)
        server = HttpServer(make_dashboard_app(master, access_token=self._options.access_token), self._bound)
        self._stack.push_async_callback(server.stop)
        await server.start()

    async def stop(self) -> None:
        """Stop everything in reverse."""
        await self._stack.aclose()


def run_dashboard(options: DashboardOptions, *, on_ready: Callable[[str], None]) -> None:
    """Run a dashboard until SIGTERM or SIGINT.

    Args:
        options: All of its options.
        on_ready: Called with the dashboard's URL once it serves.

    Raises:
        RequestInvalid: The master's URL is not one.
        StartupFailed: The port is taken.
    """
    check_master_url(options.master_url)
    bound = bind(options.host, options.port, auto_port=options.auto_port)
    loop = LoopThread("dashboard")
    dashboard = Dashboard(options, bound)
    loop.start()
    try:
        with caught_signals() as wait:
            loop.run(dashboard.start(), START_TIMEOUT_S)
            on_ready(f"http://{shown_host(options.host)}:{bound.getsockname()[1]}")
            wait()
            loop.run(dashboard.stop(), START_TIMEOUT_S)
    finally:
        loop.stop()
        bound.close()


def check_master_url(url: str) -> None:
    """Refuse what is no http URL, and one with credentials, which the page would show.

    Raises:
        RequestInvalid: It is one of these.
    """
    if not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", url):
        raise RequestInvalid("the master URL is not valid: write http://host:5800, and a token by --token")
