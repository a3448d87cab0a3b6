"""A person at a terminal: a real pty, what it shows kept by a screen of its own."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence

import pyte

TAKE_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Makes standard input the terminal whose keys are signals too, and becomes the program."""


class Terminal:
    """A program on a pty.

    Args:
        command: The program, by its path, and its arguments.
        environ: Its variables.
        size: Columns and lines.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], size: tuple[int, int]) -> None:
        columns, lines = size
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self.seen = b""
        self._fd, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self._slave = slave
        self.before = termios.tcgetattr(slave)
        self.process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *command],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=dict(environ),
            start_new_session=True,
        )

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    @property
    def modes(self) -> list[object]:
        """What the terminal is like now."""
        return termios.tcgetattr(self._slave)

    def text(self) -> str:
        return "\n".join(self.screen.display)

    def wait_for(self, wanted: str, timeout_s: float = 30.0) -> str:
        """Return the screen once it shows a text."""
        end = time.monotonic() + timeout_s
        while wanted not in self.text():
            assert time.monotonic() < end, f"no {wanted!r} in time; the screen:\n{self.text()}"
            self._read(0.2)
        return self.text()

    def wait(self, timeout_s: float = 30.0) -> int:
        """Return the exit status; what is printed meanwhile is read."""
        end = time.monotonic() + timeout_s
        while self.process.poll() is None:
            assert time.monotonic() < end, f"it does not end; the screen:\n{self.text()}"
            self._read(0.1)
        while self._read(0.0):
            pass
        return int(self.process.returncode)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._slave)
        os.close(self._fd)

    def _read(self, timeout_s: float) -> bool:
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return False
        data = os.read(self._fd, 65536)
        self.seen += data
        self._stream.feed(data)
        return bool(data)


@contextlib.contextmanager
def on_terminal(
    command: Sequence[str], environ: Mapping[str, str], size: tuple[int, int] = (100, 30)
) -> Iterator[Terminal]:
    """Run a program on a terminal for the length of a block."""
    terminal = Terminal(command, {**environ, "TERM": "xterm-256color"}, size)
    try:
        yield terminal
    finally:
        terminal.close()
