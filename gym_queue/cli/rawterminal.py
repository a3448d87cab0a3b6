"""A terminal whose keys reach the program one by one, and which is given back as it was."""

from __future__ import annotations

import errno
import os
import select
import signal
import termios
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK_BYTES = 512
"""Fewer keys than a step may have actions."""


@contextmanager
def raw_keys(fd: int) -> Iterator[None]:
    """Take every key of a terminal as it is pressed, Ctrl-C and Ctrl-Z among them; output works as before.

    Args:
        fd: Of the terminal. What it was like comes back however the block ends.
    """
    before = termios.tcgetattr(fd)
    raw = termios.tcgetattr(fd)
    raw[0] &= ~(
        termios.BRKINT | termios.ICRNL | termios.INLCR | termios.INPCK | termios.ISTRIP | termios.IXON
    )
    raw[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, raw)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def read_keys(fd: int, timeout_s: float) -> bytes | None:
    """Return what was typed; None when nothing was in time, nothing at all (``b""``) when the terminal is gone."""
    readable, _, _ = select.select([fd], [], [], timeout_s)
    if not readable:
        return None
    try:
        return os.read(fd, CHUNK_BYTES)
    except OSError as error:
        if error.errno == errno.EIO:  # the other side has hung up
            return b""
        raise


@contextmanager
def hang_up_interrupts() -> Iterator[None]:
    """Let a terminal that goes away end the program as Ctrl-C does, so that it closes what it has open."""
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)
