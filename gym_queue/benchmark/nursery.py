"""The nursery as its run sees it: gives loops, and says how they ended."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from gym_queue.errors import GymQueueError

STOP_TIMEOUT_S = 5.0
REPORT_BYTES = 65_536


class LoopEnd(NamedTuple):
    """The end of a loop."""

    number: int
    status: int
    """Its exit status; minus the signal that killed it."""


class Nursery:
    """A process with the imports done that forks loops; see nurserymain. Starts with the first loop.

    Args:
        preload: Modules to import before; those that cannot be are passed over.
    """

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._preload = tuple(preload)
        self._numbers = count()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._rest = b""

    def fork(self) -> tuple[int, Connection]:
        """Return a new loop: its number, by which its end is told, and the way to it.

        Raises:
            GymQueueError: No process can be started.
        """
        number, (ours, theirs) = next(self._numbers), socket.socketpair()
        with theirs:
            try:
                socket.send_fds(self._started(), [f"fork {number}\n".encode()], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise GymQueueError(f"no process can be started for the benchmark: {error}") from error
        return number, Connection(ours.detach())

    def kill(self, number: int) -> None:
        """Kill a loop, if it lives; its end is told as any other."""
        with suppress(OSError):
            self._started().sendall(f"kill {number}\n".encode())

    def tidy(self, folder: Path) -> None:
        """Have a folder removed once this process has gone, however it went, and the loops with it."""
        with suppress(OSError):
            self._started().sendall(f"tidy {folder}\n".encode(errors="surrogateescape"))

    def fileno(self) -> int:
        """Return the descriptor that is readable when ``ends`` has something to tell."""
        return self._started().fileno()

    def ends(self) -> list[LoopEnd] | None:
        """Return the loops that have ended since the last call; None when the nursery itself has: then all of them have."""
        try:
            content = self._started().recv(REPORT_BYTES)
        except OSError:
            content = b""
        if not content:
            self.stop()
            return None
        *lines, self._rest = (self._rest + content).split(b"\n")
        return [LoopEnd(line["ended"], line["status"]) for line in map(json.loads, lines)]

    def stop(self) -> None:
        """Let go of the nursery: its loops end by themselves, and it with the last of them."""
        if self._control is not None and self._process is not None:
            self._control.close()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        self._control, self._process, self._rest = None, None, b""

    def _started(self) -> socket.socket:
        if self._control is None:
            ours, theirs = socket.socketpair()
            with theirs:
                module = ("-m", "gym_queue.benchmark.nurserymain")
                command = [sys.executable, *module, str(theirs.fileno()), *self._preload]
                self._process = subprocess.Popen(
                    command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
                )
            self._control = ours
        return self._control

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
