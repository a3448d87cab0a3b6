"""People who watch a screen: x11vnc beside the X server, on a unix socket, started when the first of them comes."""

from __future__ import annotations

import secrets
import shlex
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gym_queue.errors import NotSupported, RunnerFailed
from gym_queue.runners.display.connection import connect_to

START_TIMEOUT_S = 10.0
RETRY_S = 0.02
NOT_FOUND = 127
PASSWORD_CHARS = 8
"""What RFB's authentication reads of a password (RFC 6143, section 7.2.2)."""


class Started(Protocol):
    """A program that runs on."""

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""

    @property
    def output(self) -> str:
        """The last of what it said."""


@dataclass(frozen=True, slots=True)
class _Server:
    process: Started
    socket: Path


class ScreenServers:
    """Up to two servers of one screen: one that takes no input, whatever it is sent, and one that takes it.

    Args:
        start: Starts a command of bash where the X server is.
        display: DISPLAY there.
        folder: Where the sockets are made, as this process sees it.
        inside: The same folder, as the command sees it.
        password: What viewers are asked for; None asks for nothing.
    """

    def __init__(
        self,
        start: Callable[[str], Started],
        *,
        display: str,
        folder: Path,
        inside: str,
        password: str | None = None,
    ) -> None:
        self._start, self._display, self._folder, self._inside = start, display, folder, inside
        self._password = password
        self._servers: dict[bool, _Server] = {}

    def open(self, *, control: bool) -> Path:
        """Return the socket of the server that runs, or of a new one.

        Raises:
            NotSupported: There is no x11vnc.
            RunnerFailed: It did not come up.
        """
        server = self._servers.get(control)
        if server is None or server.process.status is not None:
            server = self._servers[control] = self._begin(control=control)
        return server.socket

    def _begin(self, *, control: bool) -> _Server:
        name = f"vnc-{secrets.token_hex(4)}"  # a new one: what a dead server left may not be ours to remove
        process = self._start(self._script(f"{self._inside}/{name}", control=control))
        server = _Server(process, self._folder / name)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(server.socket):
            if process.status == NOT_FOUND:
                raise NotSupported(
                    "the screen cannot be watched: there is no x11vnc beside it; install x11vnc in the image"
                )
            if process.status is not None or time.monotonic() > deadline:
                how = "did not listen in time" if process.status is None else f"ended ({process.status})"
                raise RunnerFailed(f"x11vnc {how}; it said: {process.output.strip()[-500:] or '(nothing)'}")
            time.sleep(RETRY_S)
        return server

    def _script(self, path: str, *, control: bool) -> str:
        options = [
            *("-display", self._display, "-unixsock", path, "-rfbport", "0", "-noipv6", "-norc", "-quiet"),
            *("-shared", "-forever", "-noremote", "-novncconnect", "-noxrecord", "-repeat"),
        ]
        options += [] if control else ["-viewonly", "-nosel"]
        secret = ""
        if self._password is None:
            options.append("-nopw")
        else:
            options += ["-passwdfile", "/dev/fd/3"]
            secret = f" 3<<<{shlex.quote(self._password[:PASSWORD_CHARS])}"
        # umask: the worker may be another user than the one inside; the folder above is the worker's alone.
        return f"command -v x11vnc >/dev/null || exit {NOT_FOUND}\numask 0\nexec x11vnc {shlex.join(options)}{secret}"


def connect_viewer(path: Path) -> socket.socket:
    """Return a connection to a screen's server.

    What is inside the sandbox may put anything in the socket's place; a link to a socket of this host is not followed.

    Raises:
        OSError: Nothing listens there, or it is no socket.
    """
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        connect_to(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _answers(path: Path) -> bool:
    try:
        connect_viewer(path).close()
    except OSError:
        return False
    return True
