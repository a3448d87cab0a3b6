"""The host's end of one call: what comes out of it, what goes into it, and how it ended."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gym_queue.errors import GymQueueError, RunnerFailed
from gym_queue.runners.qemu.guest.inside.wire import (
    COUNT,
    CREDIT,
    DATA,
    END,
    KILL,
    PIECE_BYTES,
    WINDOW_BYTES,
    WireError,
    frame,
)
from gym_queue.runners.tail import MAX_OUTPUT_BYTES

MAX_HELD_BYTES = 2 * MAX_OUTPUT_BYTES
"""What a guest that keeps to the rules never sends unasked: a window, or all that is kept of a command's output."""


class Stream:
    """One call. Used by one thread, or by one that reads and one that writes.

    Args:
        number: Its own on this connection.
        send: Sends frames; raises when the connection is gone.
    """

    def __init__(self, number: int, send: Callable[[bytes], None]) -> None:
        self.number = number
        self._send = send
        self._changed = threading.Condition()
        self._data: deque[bytes] = deque()
        self._held_bytes = 0
        self._room = WINDOW_BYTES
        self._is_ready = self._is_read_out = False
        self._ended: dict[str, Any] | None = None
        self._error: GymQueueError | None = None

    def read(self, deadline: float) -> bytes | None:
        """Return what came next; empty at its end, None when nothing came until ``deadline``, a monotonic time."""
        with self._changed:
            self._wait(lambda: bool(self._data) or self._is_read_out or self._ended is not None, deadline)
            if not self._data:
                return b"" if self._is_read_out or self._ended is not None else None
            data = self._data.popleft()
            self._held_bytes -= len(data)
        if self._ended is None:
            self._send(frame(CREDIT, self.number, COUNT.pack(len(data))))
        return data

    def write(self, data: bytes, *, timeout_s: float) -> None:
        """Send data as fast as it is taken; what a call that has ended does not take is dropped.

        Raises:
            RunnerFailed: Nothing was taken for ``timeout_s`` seconds.
        """
        view = memoryview(data)
        while view:
            with self._changed:
                self._wait(lambda: self._room > 0 or self._ended is not None, time.monotonic() + timeout_s)
                if self._ended is not None:
                    return
                taken = min(self._room, len(view), PIECE_BYTES)
                self._room -= taken
            if not taken:
                raise RunnerFailed(
                    f"the guest took nothing for {timeout_s:g} s: it hangs, or has no processor to run on"
                )
            self._send(frame(DATA, self.number, bytes(view[:taken])))
            view = view[taken:]

    def write_end(self) -> None:
        """All was sent."""
        self._send(frame(END, self.number))

    def kill(self) -> None:
        """Have what runs for this call killed; how it ended is still to come."""
        self._send(frame(KILL, self.number))

    def wait_ready(self, deadline: float) -> bool:
        """Return whether what was asked for came to be by then: False when the call ended instead, or the time did."""
        with self._changed:
            self._wait(lambda: self._is_ready or self._ended is not None, deadline)
            return self._is_ready

    def wait_end(self, deadline: float) -> dict[str, Any] | None:
        """Return how the call ended, or None when it has not by ``deadline``, a monotonic time."""
        with self._changed:
            self._wait(lambda: self._ended is not None, deadline)
            return self._ended

    @property
    def ended(self) -> dict[str, Any] | None:
        """How the call ended; None before, and for ever when its connection ended first."""
        return self._ended

    def take_output(self) -> bytes:
        """Return all that came and was not read."""
        with self._changed:
            data = b"".join(self._data)
            self._data.clear()
            self._held_bytes = 0
        return data

    # What the connection tells

    def came(self, data: bytes) -> None:
        """Take data; raises WireError when it is more than was allowed."""
        with self._changed:
            self._data.append(data)
            self._held_bytes += len(data)
            if self._held_bytes > MAX_HELD_BYTES:
                raise WireError("the guest sends more than it may")
            self._changed.notify_all()

    def came_end(self) -> None:
        """No more data comes."""
        with self._changed:
            self._is_read_out = True
            self._changed.notify_all()

    def came_credit(self, count: int) -> None:
        """The other side has room for more, or, when for nothing, what was asked for."""
        with self._changed:
            self._is_ready = self._is_ready or count == 0
            self._room += count
            self._changed.notify_all()

    def came_ended(self, facts: dict[str, Any]) -> None:
        """The call has ended."""
        with self._changed:
            self._ended = facts
            self._changed.notify_all()

    def fail(self, error: GymQueueError) -> None:
        """The connection is gone."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _wait(self, is_so: Callable[[], bool], deadline: float) -> None:
        self._changed.wait_for(
            lambda: is_so() or self._error is not None, timeout=max(0.0, deadline - time.monotonic())
        )
        if self._error is not None and not is_so():
            raise type(self._error)(self._error.message, self._error.details)
