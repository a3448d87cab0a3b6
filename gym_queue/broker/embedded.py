"""The broker that a master starts by itself when it is given none."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal, Protocol

from gym_queue.broker.fake import FakeServer
from gym_queue.broker.files import private_folder
from gym_queue.broker.redisserver import RedisServer
from gym_queue.errors import StartupFailed

Kind = Literal["redis", "fake"]


class _Server(Protocol):
    @property
    def description(self) -> str: ...
    def url_for(self, host: str | None = None) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class EmbeddedBroker:
    """redis-server where it is on PATH, else fakeredis.

    A redis-server outlives a master that was killed, and the next one on the same ``state_dir`` finds it
    again, with its queues; ``stop`` ends it, its data kept. fakeredis ends with its master.

    Args:
        state_dir: Folder whose subfolder ``broker`` (mode 0700) takes password, data and log.
        host: Address redis-server listens on.
        kind: ``redis`` or ``fake``; None takes what the machine has.
        stop_grace_s: Seconds the server may take to end before it is killed.
    """

    def __init__(
        self,
        state_dir: Path,
        host: str = "127.0.0.1",
        *,
        kind: Kind | None = None,
        stop_grace_s: float = 5.0,
    ) -> None:
        self._state_dir = state_dir
        self._host = host
        self._kind = kind
        self._stop_grace_s = stop_grace_s
        self._server: _Server | None = None

    def start(self) -> str:
        """Start the broker, or find the previous run's.

        Returns:
            The broker's URL, with its password: not for logs.

        Raises:
            StartupFailed: The folder cannot be written, or the server did not start; with the end of its log.
        """
        if self._server is None:
            server = self._make()
            server.start()
            self._server = server
        return self.url

    def stop(self) -> None:
        """End the broker and wait for it. Safe to call twice."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    @property
    def url(self) -> str:
        """The broker's URL on this machine, with its password: not for logs."""
        return self._running().url_for()

    def url_for(self, host: str) -> str:
        """Return the URL for programs that reach this machine as ``host``; not for logs."""
        return self._running().url_for(host)

    @property
    def description(self) -> str:
        """One log line: what runs, where its files are, what it lacks."""
        return self._running().description

    def _make(self) -> _Server:
        folder = private_folder(self._state_dir)
        kind = self._kind or ("redis" if shutil.which("redis-server") else "fake")
        if kind == "fake":
            return FakeServer(folder, stop_grace_s=self._stop_grace_s)
        if shutil.which("redis-server") is None:
            raise StartupFailed("redis-server is not on PATH: install it, or give --broker-url")
        return RedisServer(folder, self._host, stop_grace_s=self._stop_grace_s)

    def _running(self) -> _Server:
        if self._server is None:
            raise StartupFailed("the embedded broker is not running: start it first")
        return self._server
