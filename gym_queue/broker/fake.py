"""The embedded broker where there is no redis-server: fakeredis in a process of its own, for one machine."""

from __future__ import annotations

import logging
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, cast
from urllib.parse import quote

import gym_queue
from gym_queue.broker.files import log_tail
from gym_queue.errors import StartupFailed

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 30.0
MAX_SOCKET_PATH_BYTES = 100
"""unix(7): 108 bytes with the ending NUL on Linux, 104 on macOS."""


class FakeServer:
    """fakeredis on a unix socket that only this user can reach; it and its messages end with this process.

    Args:
        folder: A folder of this broker alone, private to the user.
        stop_grace_s: Seconds it may take to end before it is killed.
    """

    kind = "fake"

    def __init__(self, folder: Path, *, stop_grace_s: float) -> None:
        self._folder = folder
        self._stop_grace_s = stop_grace_s
        self._log_path = folder / "fake.log"
        self._socket = folder / "fake.sock"
        self._short_folder: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def description(self) -> str:
        """Say what runs, where, and what it lacks."""
        if self._child is None:
            return "embedded fakeredis, not running"
        return (
            f"embedded fakeredis {self._socket}, pid {self._child.pid}: redis-server is not on PATH; "
            "workers on this machine only, queued creates are lost at a restart"
        )

    def url_for(self, host: str | None = None) -> str:
        """Return the URL; it is the same for every host, and reachable from this machine alone."""
        del host
        if self._child is None:
            raise StartupFailed("the embedded broker is not running: start it first")
        return f"redis+socket://{quote(str(self._socket))}?virtual_host=0"

    def start(self) -> None:
        """Start the process and wait until it listens.

        Raises:
            StartupFailed: It ended, or did not listen in time.
        """
        if len(os.fsencode(self._socket)) > MAX_SOCKET_PATH_BYTES:
            self._short_folder = Path(tempfile.mkdtemp(prefix="gym-queue-", dir="/tmp"))
            self._socket = self._short_folder / "fake.sock"
        flags = ["--own-folder"] if self._short_folder is not None else []
        with self._log_path.open("wb") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "gym_queue.broker.fakeserver", str(self._socket), *flags],
                stdin=subprocess.PIPE,  # its end tells the child that we are gone
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONPATH": _import_path()},
                start_new_session=True,
            )
        try:
            self._await_ready(child)
        except BaseException:
            self._end(child)
            raise
        self._child = child

    def stop(self) -> None:
        """End the process and remove its socket."""
        child, self._child = self._child, None
        if child is not None:
            self._end(child)

    def _await_ready(self, child: subprocess.Popen[bytes]) -> None:
        stdout = cast(IO[bytes], child.stdout)
        readable, _, _ = select.select([stdout], [], [], START_TIMEOUT_S)
        if readable and stdout.readline() == b"ready\n":
            return
        raise StartupFailed(
            f"the embedded fakeredis broker did not start: {log_tail(self._log_path)}; "
            "install redis-server, or give --broker-url"
        )

    def _end(self, child: subprocess.Popen[bytes]) -> None:
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            child.wait(self._stop_grace_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        self._socket.unlink(missing_ok=True)
        if self._short_folder is not None:
            shutil.rmtree(self._short_folder, ignore_errors=True)
            self._short_folder, self._socket = None, self._folder / "fake.sock"


def _import_path() -> str:
    """Where the child imports this very package from, be it installed or not."""
    ours = str(Path(gym_queue.__path__[0]).parent)
    return os.pathsep.join(filter(None, (ours, os.environ.get("PYTHONPATH"))))
