"""The talk with the host: frames in and out, and the calls that are in hand on this connection."""

from __future__ import annotations

import contextlib
import selectors
import time
from collections.abc import Callable

from .port import Port
from .streams import Stream
from .wire import (
    ANSWER,
    ASK,
    CREDIT,
    DATA,
    END,
    HEAD,
    HELLO,
    KILL,
    NONCE_BYTES,
    OPEN,
    Frames,
    WireError,
    frame,
)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.05, 0.2
"""How often to look whether the host is there: a port without a host has nothing to wait for."""
AWAY_S = 2.0
"""How long the host may be away before what it began is ended."""
_GREETING = HEAD.pack(HELLO, 0, len(ASK) + NONCE_BYTES) + ASK


class Link:
    """The connection, whenever there is one.

    Args:
        selector: Of the whole program.
        port: To the host.
        digest: Of this program; the host compares it with its own.
        on_open: Called with each new call and what it asks.
        on_lost: Called when a connection is over, after its calls were ended.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        port: Port,
        digest: bytes,
        *,
        on_open: Callable[[Stream, bytes], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.selector = selector
        self.out = bytearray()
        self._port, self._digest, self._on_open, self._on_lost = port, digest, on_open, on_lost
        self._frames = Frames()
        self._is_greeted = False
        self._streams: dict[int, Stream] = {}
        self._wait_s = FIRST_WAIT_S
        self._forget_at: float | None = None

    def turn(self) -> float | None:
        """Send what can be sent; returns after how many seconds to call again at the latest, None for never."""
        for number in [each.number for each in self._streams.values() if each.is_over]:
            del self._streams[number]
        if self._port.fd < 0 and not self._port.find_host():
            return self._wait()
        self._wait_s, self._forget_at = FIRST_WAIT_S, None
        try:
            self._send()
        except EOFError:
            self._lose_host()
            return FIRST_WAIT_S
        self._watch(selectors.EVENT_READ | (selectors.EVENT_WRITE if self.out else 0))
        return None

    def _wait(self) -> float:
        if self._forget_at is not None and time.monotonic() > self._forget_at:
            self._forget_at = None
            self._forget()
        self._wait_s = min(LONGEST_WAIT_S, self._wait_s * 1.5)
        return self._wait_s

    def _send(self) -> None:
        if self.out:
            self._port.write(self.out)
            for stream in self._streams.values():
                stream.watch()

    def _watch(self, events: int) -> None:
        known = self.selector.get_map().get(self._port.fd)
        if known is None:
            self.selector.register(self._port.fd, events, self._read)
        elif known.events != events:
            self.selector.modify(self._port.fd, events, self._read)

    def _read(self) -> None:
        try:
            self._frames.feed(self._port.read())
        except EOFError:
            self._lose_host()
            return
        try:
            self._take_frames()
        except WireError:
            self._forget()

    def _take_frames(self) -> None:
        while self._is_greeted or self._frames.skip_to(_GREETING):
            taken = self._frames.take()
            if taken is None:
                return
            kind, number, data = taken
            if kind == HELLO:
                self._forget()
                self._is_greeted = True
                self.out += frame(HELLO, 0, ANSWER + data[len(ASK) :] + self._digest)
            else:
                self._dispatch(kind, number, data)

    def _dispatch(self, kind: int, number: int, data: bytes) -> None:
        stream = self._streams.get(number)
        if kind == OPEN and stream is None:
            stream = self._streams[number] = Stream(self, number)
            self._on_open(stream, data)
        elif stream is None or stream.is_over:
            return
        elif kind == DATA:
            stream.take(data)
        elif kind == END:
            stream.take_end()
        elif kind == CREDIT:
            stream.take_credit(data)
        elif kind == KILL:
            stream.kill()

    def _lose_host(self) -> None:
        """Wait for another host. All is kept a while: the next one's hello may have come before word that this one left."""
        with contextlib.suppress(KeyError):
            self.selector.unregister(self._port.fd)
        self._port.let_go()
        self._forget_at = time.monotonic() + AWAY_S

    def _forget(self) -> None:
        self._is_greeted = False
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            if not stream.is_over:
                stream.close()
                stream.kill()
        self.out.clear()
        self._on_lost()
