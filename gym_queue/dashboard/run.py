"""Composes the standalone dashboard: options → relays → app → HTTP."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from gym_queue.dashboard.app import make_dashboard_app
from gym_queue.dashboard.relay import MasterAddress, MasterRelay
from gym_queue.dashboard.sockets import is_viewer
from gym_queue.errors import RequestInvalid
from gym_queue.settings import DEFAULT_DASHBOARD_PORT
from gym_queue.tls import TlsFiles
from gym_queue.web.door import Door
from gym_queue.web.limits import DoorLimits
from gym_queue.web.server import HttpServer, LoopThread, bind, caught_signals, shown_host

START_TIMEOUT_S = 30.0
MAX_MASTERS = 64
_MASTER = re.compile(r"(?:([A-Za-z0-9][A-Za-z0-9 ._-]{0,63})=)?(https?://[^\s/@?#]+(?:/[^\s@?#]*)?)")


@dataclass(frozen=True, slots=True)
class DashboardOptions:
    """What ``gym-anything-dashboard`` takes."""

    master_urls: tuple[str, ...]
    """Each a URL, or ``name=URL``."""
    host: str = "127.0.0.1"
    port: int = DEFAULT_DASHBOARD_PORT
    auto_port: bool = False
    token: str | None = field(default=None, repr=False)
    """Shown to the master, and asked of callers unless ``no_auth``."""
    no_auth: bool = False
    """Serve callers without a token; they may look, and no more."""
    read_only: bool = False
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
        options = self._options
        masters = tuple(
            MasterRelay(
                address,
                options.token,
                tls=options.tls,
                read_only=options.read_only or options.access_token is None,
            )
            for address in master_addresses(options.master_urls)
        )
        for master in masters:
            self._stack.push_async_callback(master.close)
        app = make_dashboard_app(masters, access_token=options.access_token)
        door = Door(DoorLimits(), upgrades=is_viewer)
        server = HttpServer(app, self._bound, protocol=door.protocol())
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
        RequestInvalid: A master's URL is not one.
        StartupFailed: The port is taken.
    """
    master_addresses(options.master_urls)
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


def master_addresses(given: Sequence[str]) -> tuple[MasterAddress, ...]:
    """Return the masters that were given, each with its own name or its host and port.

    Raises:
        RequestInvalid: There is none, or one is no http URL, or has credentials, which the page would show.
    """
    if not 0 < len(given) <= MAX_MASTERS:
        raise RequestInvalid(f"a dashboard shows 1 to {MAX_MASTERS} masters, not {len(given)}")
    return tuple(_address(each) for each in given)


def _address(given: str) -> MasterAddress:
    found = _MASTER.fullmatch(given)
    if found is None:
        raise RequestInvalid(
            "the master URL is not valid: write http://host:5800, or name=http://host:5800, and a token by --token"
        )
    return MasterAddress(found[1] or urlsplit(found[2]).netloc, found[2])
