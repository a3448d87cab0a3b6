"""One call of the host: what it sends goes into one file descriptor, what comes out of another goes to it."""

from __future__ import annotations

import json
import os
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .wire import COUNT, CREDIT, DATA, END, ENDED, PIECE_BYTES, WINDOW_BYTES, data_frames, frame

if TYPE_CHECKING:
    from .link import Link

OUT_BYTES = 65536
"""What may wait to be sent before streams are read no more; frames that end a call go on top."""


class Stream:
    """A call in hand.

    Args:
        link: To the host.
        number: Its own on this connection.
        kill: Ends what runs for it.
    """

    def __init__(self, link: Link, number: int, *, kill: Callable[[], None] | None = None) -> None:
        self.number = number
        self.kill = kill or (lambda: None)
        self.is_over = False
        self.on_drained: Callable[[], None] = lambda: None
        self._link = link
        self._credit = WINDOW_BYTES
        self._feed = self._drain = -1
        self._waiting = bytearray()
        self._is_fed = False
        self._on_body: Callable[[bytes], None] | None = None

    def feed_to(self, fd: int) -> None:
        """Send what the host sends to ``fd``, and close that at its end; the stream owns it now."""
        self._feed = fd
        os.set_blocking(fd, False)
        self._write()

    def say_ready(self) -> None:
        """Tell the host that what it asked for is there."""
        self._link.out += frame(CREDIT, self.number, COUNT.pack(0))

    def drain(self, fd: int, on_end: Callable[[], None]) -> None:
        """Send what ``fd`` yields to the host, and then call ``on_end``; the stream owns it now."""
        self._drain, self.on_drained = fd, on_end
        os.set_blocking(fd, False)
        self.watch()

    def collect(self, on_body: Callable[[bytes], None]) -> None:
        """Call ``on_body`` with all that the host sends, once it has."""
        self._on_body = on_body

    def take(self, data: bytes) -> None:
        """Take what the host sent."""
        if self._on_body is not None:
            self._waiting += data
        if self._feed < 0:
            self._link.out += frame(CREDIT, self.number, COUNT.pack(len(data)))
            return
        self._waiting += data
        self._write()

    def take_end(self) -> None:
        """The host has sent all."""
        self._is_fed = True
        self._write()
        if self._on_body is not None:
            on_body, self._on_body = self._on_body, None
            on_body(bytes(self._waiting))

    def take_credit(self, data: bytes) -> None:
        """The host has room for more."""
        self._credit += COUNT.unpack(data)[0]
        self.watch()

    def end(self, output: bytes = b"", **facts: Any) -> None:
        """Say how the call ended; once."""
        if self.is_over:
            return
        self.close()
        said = frame(ENDED, self.number, json.dumps(facts).encode())
        self._link.out += data_frames(self.number, output) + said

    def close(self) -> None:
        """Let go of all it holds; nothing more is said."""
        self.is_over = True
        self.abandon()

    def abandon(self) -> None:
        """Let go of what it feeds and drains; how it ended is still to be said."""
        if self._feed >= 0:
            self._close_feed()
        if self._drain >= 0:
            self._close_drain()

    def watch(self) -> None:
        """Wait for those ends that something can be done with, and for no others."""
        if self._drain >= 0:
            has_room = self._credit > 0 and len(self._link.out) < OUT_BYTES
            self._watch(self._drain, selectors.EVENT_READ if has_room else 0)
        if self._feed >= 0:
            self._watch(self._feed, selectors.EVENT_WRITE if self._waiting else 0)

    def _watch(self, fd: int, events: int) -> None:
        selector = self._link.selector
        known = selector.get_map().get(fd)
        if known is None and events:
            selector.register(fd, events, self._write if events & selectors.EVENT_WRITE else self._read)
        elif known is not None and not events:
            selector.unregister(fd)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE and self._feed >= 0:
            self._write()
        if events & selectors.EVENT_READ and self._drain >= 0:
            self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._drain, min(PIECE_BYTES, self._credit))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._credit -= len(data)
            self._link.out += frame(DATA, self.number, data)
            self.watch()
            return
        self._link.out += frame(END, self.number)
        self._close_drain()
        self.on_drained()

    def _close_drain(self) -> None:
        fd, self._drain = self._drain, -1
        self._watch(fd, 0)
        os.close(fd)

    def _write(self) -> None:
        if self._feed < 0:
            return
        try:
            taken = os.write(self._feed, self._waiting) if self._waiting else 0
        except BlockingIOError:
            taken = 0
        except OSError:  # nobody reads on
            taken = len(self._waiting)
        if taken:
            del self._waiting[:taken]
            self._link.out += frame(CREDIT, self.number, COUNT.pack(taken))
        self.watch()
        if self._is_fed and not self._waiting:
            self._close_feed()

    def _close_feed(self) -> None:
        fd, self._feed = self._feed, -1
        self._watch(fd, 0)
        os.close(fd)
