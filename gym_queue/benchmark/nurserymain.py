"""Parent of a benchmark's loops: forks them with the imports done, says how each ended, and leaves nothing of them behind.

It is small and has one thread, so that forking it is safe. It lives as long as the run, and ends by itself after it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NoReturn

from gym_queue.benchmark import loop
from gym_queue.runners.processes import become_subreaper

END_GRACE_S = 40.0
"""How long loops get to close their environments once the run has gone."""
PR_SET_PDEATHSIG = 1  # linux/prctl.h
COMMAND_BYTES, MAX_FILES = 4096, 64
"""Read at once."""


class Nursery:
    """Forks loops, and kills those that it is told to.

    Args:
        control: To the run. In: lines ``fork N``, each with a socket for the loop, ``kill N``, and ``tidy FOLDER`` with
            what is to be removed once the run has gone. Out: a JSON line for each loop that has ended.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._rest = ""
        self._files: list[int] = []
        self._loops: dict[int, int] = {}
        self._folders: list[str] = []
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_w, False)
        self._deadline: float | None = None

    def run(self) -> None:
        """Serve until the run has gone, and all loops with it."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_r, selectors.EVENT_READ, self._reap)
            selector.register(self._control, selectors.EVENT_READ, self._serve)
            while self._deadline is None or self._loops:
                for key, _ in selector.select(self._left_s()):
                    key.data()
                if self._deadline is not None and self._control in selector.get_map():
                    selector.unregister(self._control)
                if self._left_s() == 0.0:
                    for number in list(self._loops.values()):
                        self._kill(number)
        for folder in self._folders:  # of a run that was killed; others have removed theirs
            shutil.rmtree(folder, ignore_errors=True)

    def _left_s(self) -> float | None:
        return None if self._deadline is None else max(self._deadline - time.monotonic(), 0.0)

    def _serve(self) -> None:
        try:
            content, files, _, _ = socket.recv_fds(self._control, COMMAND_BYTES, MAX_FILES)
        except OSError:
            content, files = b"", []
        self._files += files
        *lines, self._rest = (self._rest + content.decode(errors="surrogateescape")).split("\n")
        for verb, _, what in (line.partition(" ") for line in lines):
            if verb == "fork":
                self._fork(int(what), self._files.pop(0))
            elif verb == "tidy":
                self._folders.append(what)
            else:
                self._kill(int(what))
        if not content:
            self._deadline = time.monotonic() + END_GRACE_S

    def _fork(self, number: int, file: int) -> None:
        own = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            self._say({"ended": number, "status": os.EX_OSERR})
        else:
            if pid == 0:
                self._become_loop(file, own)
            self._loops[pid] = number
        os.close(file)

    def _become_loop(self, file: int, parent: int) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _die_with_parent(parent)
            for other in (self._control.fileno(), self._wake_r, self._wake_w):
                os.close(other)
            loop.main(file)
        finally:
            os._exit(os.EX_SOFTWARE)  # nothing may return into the nursery's own code

    def _kill(self, number: int) -> None:
        for pid, each in self._loops.items():
            if each == number:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            os.read(self._wake_r, 512)
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                number = self._loops.pop(ended[0], None)
                if number is not None:
                    self._say({"ended": number, "status": os.waitstatus_to_exitcode(ended[1])})
        self._kill_strays()

    def _kill_strays(self) -> None:
        """Kill what loops that have ended left: it became ours, as a living loop keeps its own."""
        for pid in _children():
            if pid not in self._loops:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)  # its end wakes us, and its own children are next

    def _say(self, line: dict[str, Any]) -> None:
        with suppress(OSError):  # the run has gone
            self._control.sendall(json.dumps(line).encode() + b"\n")


def _children() -> list[int]:
    own = os.getpid()
    try:
        with open(f"/proc/{own}/task/{own}/children", encoding="ascii") as file:  # noqa: PTH123  read at each end
            return [int(pid) for pid in file.read().split()]
    except OSError:  # a system without that file
        return []


def _die_with_parent(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def main(fd: int, preload: Sequence[str]) -> None:
    """Be the nursery.

    Args:
        fd: Of the socket to the run.
        preload: Modules to import.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become_subreaper()
    for name in preload:
        with suppress(ImportError):  # the loop that needs it says so
            importlib.import_module(name)
    gc.collect()
    gc.freeze()  # what is shared with the loops is not written to by their collections
    Nursery(socket.socket(fileno=fd)).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
