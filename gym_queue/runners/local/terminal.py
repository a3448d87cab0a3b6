"""A shell on a pty, its output drained into a screen by a thread of its own."""

from __future__ import annotations

import fcntl
import logging
import os
import selectors
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.local.interpreter import Interpreter
from gym_queue.runners.local.quiet import is_waiting_for_input
from gym_queue.runners.local.render import BACKGROUND, FOREGROUND, colour_answer
from gym_queue.runners.local.screen import TerminalScreen

logger = logging.getLogger(__name__)

SILENCE_S = 0.05
ESCAPE_SILENCE_S = 0.15
"""After a lone ESC: programs wait about 0.1 s for the rest of a sequence before they take it for the key."""
POLL_S = 0.01
CHUNK_BYTES = 65_536
MAX_QUICK_EXITS = 5
QUICK_EXIT_S = 0.2
_TAKE_TERMINAL = 'exec "$@" <"$0" >"$0" 2>&1'
"""The first terminal a session leader opens becomes its own: no code of ours runs between fork and exec."""


class Terminal:
    """One pty for the life of the environment; the shell in it is started again when it ends.

    Args:
        argv: The shell's command line.
        cwd: The folder it starts in.
        environment: All its variables.
        grid: columns, lines.
    """

    def __init__(
        self, argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], grid: tuple[int, int]
    ) -> None:
        self._argv, self._cwd, self._environment = argv, cwd, dict(environment)
        self._grid = grid
        self._lock = threading.RLock()
        self._pending = bytearray()
        self._last_change = time.monotonic()
        self._silence_s = SILENCE_S
        self._is_closed = False
        self._failure: str | None = None
        self._screen = TerminalScreen(*grid, reply=self._answer)
        self._interpreter = Interpreter(
            self._screen, self._answer, colours=(colour_answer(FOREGROUND), colour_answer(BACKGROUND))
        )
        self._thread = threading.Thread(target=self._drain, name="terminal", daemon=True)

    def start(self) -> None:
        """Open the pty and start the shell.

        Raises:
            RunnerFailed: The system has no pty left, or bash cannot be started.
        """
        try:
            self._master, self._tty = os.openpty()
            self._wake_out, self._wake_in = os.pipe()
            columns, lines = self._grid
            fcntl.ioctl(self._tty, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
            self._modes = termios.tcgetattr(self._tty)
            os.set_blocking(self._master, False)
            self._shell = self._spawn()
        except OSError as error:
            raise RunnerFailed(f"the terminal cannot be opened: {error.strerror}") from error
        self._thread.start()

    @contextmanager
    def screen(self) -> Iterator[TerminalScreen]:
        """Lend the screen while its thread stands still.

        Raises:
            RunnerFailed: The terminal is closed, or its shell cannot be kept running.
        """
        with self._lock:
            self._check()
            yield self._screen

    def send(self, data: bytes) -> None:
        """Queue input; the terminal's thread writes it as fast as programs read.

        Raises:
            RunnerFailed: The terminal is closed, or its shell cannot be kept running.
        """
        if not data:
            return
        with self._lock:
            self._check()
            self._screen.scrolled_back = 0
            self._silence_s = ESCAPE_SILENCE_S if data.endswith(b"\x1b") else SILENCE_S
            self._queue(data)

    def settle(self, *, max_s: float) -> None:
        """Wait until the foreground has waited for input, in silence, for SILENCE_S; or ``max_s`` seconds."""
        deadline = time.monotonic() + max_s
        while time.monotonic() < deadline and not self._is_quiet():
            time.sleep(min(POLL_S, max(0.0, deadline - time.monotonic())))
        self._check()

    def close(self) -> None:
        """Stop the thread and let go of the pty; processes are the sweep's part."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        if self._thread.ident is not None:
            os.write(self._wake_in, b"x")
            self._thread.join(timeout=5)
            for descriptor in (self._master, self._tty, self._wake_in, self._wake_out):
                os.close(descriptor)

    @property
    def shell_pid(self) -> int | None:
        """The pid of the shell, which leads its session."""
        return self._shell.pid if self._thread.ident is not None else None

    def reap(self) -> None:
        """Wait for the killed shell, so that it leaves no zombie."""
        if self._thread.ident is not None:
            with suppress(subprocess.TimeoutExpired):
                self._shell.wait(timeout=1)

    def _check(self) -> None:
        if self._is_closed:
            raise RunnerFailed("the environment was closed: create a new one")
        if self._failure is not None:
            raise RunnerFailed(self._failure)

    def _is_quiet(self) -> bool:
        with self._lock:
            self._check()
            if self._pending or not is_waiting_for_input(self._master, self._tty, self._shell.pid):
                self._last_change = time.monotonic()
                return False
            return time.monotonic() - self._last_change >= self._silence_s

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._started = time.monotonic()
        return subprocess.Popen(
            [self._argv[0], "-c", _TAKE_TERMINAL, os.ttyname(self._tty), *self._argv],
            cwd=self._cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _answer(self, text: str) -> None:
        """Send a terminal's own answer; called by the screen while its lock is held."""
        self._pending += text.encode("ascii", errors="replace")

    def _queue(self, data: bytes) -> None:
        self._pending += data
        self._last_change = time.monotonic()
        os.write(self._wake_in, b"x")

    def _drain(self) -> None:
        """Read, write and restart until closed: the terminal's thread."""
        quick_exits = 0
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_out, selectors.EVENT_READ)
            selector.register(self._master, selectors.EVENT_READ)
            while not self._is_closed:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pending else 0)
                selector.modify(self._master, events)
                ready = {key.fd: mask for key, mask in selector.select(timeout=SILENCE_S)}
                if self._wake_out in ready:
                    os.read(self._wake_out, 4096)
                with self._lock:
                    is_idle = not self._transfer(ready.get(self._master, 0))
                    if is_idle and self._shell.poll() is not None and not self._is_closed:
                        was_quick = time.monotonic() - self._started < QUICK_EXIT_S
                        quick_exits = quick_exits + 1 if was_quick else 0
                        self._restart(give_up=quick_exits >= MAX_QUICK_EXITS)
                if self._failure is not None:
                    return

    def _transfer(self, mask: int) -> bool:
        """Move bytes both ways; return whether any came."""
        if mask & selectors.EVENT_WRITE and self._pending:
            with suppress(BlockingIOError):
                del self._pending[: os.write(self._master, self._pending[:4096])]
        if not mask & selectors.EVENT_READ:
            return False
        try:
            data = os.read(self._master, CHUNK_BYTES)
        except OSError:  # nothing there, or a hangup between two shells
            return False
        self._interpreter.feed(data)
        self._last_change = time.monotonic()
        return True

    def _restart(self, *, give_up: bool) -> None:
        status = self._shell.returncode
        status = status if status >= 0 else 128 - status
        if give_up:
            self._failure = (
                f"the terminal's shell ends as soon as it starts, with status {status}: see that bash works"
            )
            return
        self._pending.clear()
        self._screen.soft_reset()
        note = f"[the shell exited with status {status}; this is a new one]"
        lead = "\r\n" if self._screen.cursor.x else ""
        self._interpreter.feed(f"\x18{lead}{note}\r\n".encode())
        termios.tcsetattr(self._tty, termios.TCSAFLUSH, self._modes)
        try:
            self._shell = self._spawn()
        except OSError as error:
            self._failure = f"the terminal's shell cannot be started again: {error.strerror}"
        self._last_change = time.monotonic()
