"""The parts of a worker in the order they start: host, HTTP endpoint, announcer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from gym_queue.errors import GymQueueError
from gym_queue.web.renewal import RenewedCertificate
from gym_queue.web.server import HttpServer, LoopThread
from gym_queue.worker.announce import Announcer
from gym_queue.worker.host import Host

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0


class HostPart:
    """The owner of live environments."""

    def __init__(self, host: Host, loop: LoopThread) -> None:
        self._host, self._loop = host, loop

    def start(self) -> None:
        """Start the fork server."""
        self._loop.run(self._host.start(), START_TIMEOUT_S)

    def stop(self) -> None:
        """Close what is left."""
        self._loop.run(self._host.stop(), STOP_TIMEOUT_S)
        self._loop.stop()


class HttpPart:
    """The HTTP endpoint."""

    def __init__(self, server: HttpServer, loop: LoopThread) -> None:
        self._server, self._loop = server, loop

    def start(self) -> None:
        """Serve."""
        self._loop.run(self._server.start(), START_TIMEOUT_S)

    def stop(self) -> None:
        """Serve no more."""
        self._loop.run(self._server.stop(), STOP_TIMEOUT_S)


class CertificatePart:
    """Takes up a new certificate of this worker while it runs."""

    def __init__(self, certificate: RenewedCertificate, loop: LoopThread) -> None:
        self._certificate, self._loop = certificate, loop
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look for changes from now on."""
        self._loop.run(self._start(), START_TIMEOUT_S)

    def stop(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._loop.loop.call_soon_threadsafe(self._task.cancel)

    async def _start(self) -> None:
        self._task = asyncio.ensure_future(self._certificate.follow())


class ReadyPart:
    """Says that the worker serves."""

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready

    def start(self) -> None:
        """Say it."""
        self._on_ready()

    def stop(self) -> None:
        """Nothing to take back."""


class AnnouncerPart:
    """Heartbeats; and the orderly end: draining, the grace period, closing, deregistration.

    Args:
        announcer: None for a worker without a master.
        grace_s: How long environments may finish.
    """

    def __init__(self, announcer: Announcer | None, host: Host, loop: LoopThread, *, grace_s: float) -> None:
        self._announcer, self._host, self._loop = announcer, host, loop
        self._grace_s = grace_s

    def start(self) -> None:
        """Send heartbeats."""
        if self._announcer is not None:
            self._loop.run(self._announcer.start(), START_TIMEOUT_S)

    def stop(self) -> None:
        """Take no more, let environments finish, close them, say goodbye."""
        if self._announcer is not None:
            self._loop.run(self._announcer.drain(), STOP_TIMEOUT_S)
        try:
            self._loop.run(self._host.finish(self._grace_s), self._grace_s + STOP_TIMEOUT_S)
        except (GymQueueError, TimeoutError) as error:
            logger.error("environments were left at the end of the grace period: %s", error)
        if self._announcer is not None:
            self._loop.run(self._announcer.stop(), STOP_TIMEOUT_S)
