"""Where a body ends, told while its bytes go by; nothing is kept."""

from __future__ import annotations

import re

from gym_queue.errors import RequestMalformed
from gym_queue.master.dataplane.head import CHUNKED, NOT_IN_TRAILERS, UNTIL_CLOSE

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t -~\x80-\xff]*)?\r\n")
_TRAILER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[^\x00-\x08\x0a-\x1f\x7f]*\r\n")
MAX_LINE_BYTES = 4096
MAX_TRAILER_BYTES = 64 << 10


class LengthBody:
    """A body of a known size."""

    __slots__ = ("is_done", "left")

    def __init__(self, size: int) -> None:
        self.left = size
        self.is_done = size == 0

    def take(self, data: bytes, at: int = 0) -> int:
        """Return how many of ``data``'s bytes from ``at`` on are of this body."""
        taken = min(self.left, len(data) - at)
        self.left -= taken
        self.is_done = self.left == 0
        return taken


class OpenBody:
    """A body that ends with its connection."""

    __slots__ = ()
    is_done = False

    def take(self, data: bytes, at: int = 0) -> int:
        """Return how many of ``data``'s bytes from ``at`` on are of this body: all."""
        return len(data) - at


class ChunkedBody:
    """A body in chunks, checked and passed on in the same chunks."""

    __slots__ = ("_data_left", "_line", "_state", "_trailer_bytes", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self._state = "size"
        self._data_left = 0
        self._line = b""
        self._trailer_bytes = 0

    def take(self, data: bytes, at: int = 0) -> int:
        """Return how many of ``data``'s bytes from ``at`` on are of this body.

        Raises:
            RequestMalformed: It is not chunked as RFC 9112, section 7.1 says.
        """
        start = at
        while at < len(data) and not self.is_done:
            if self._state == "data":
                step = min(self._data_left, len(data) - at)
                self._data_left -= step
                at += step
                if self._data_left == 0:
                    self._state = "after"
            else:
                at = self._take_line(data, at)
        return at - start

    def _take_line(self, data: bytes, at: int) -> int:
        """Take the bytes of a line, which may come in several pieces."""
        end = data.find(b"\n", at, at + MAX_LINE_BYTES) + 1
        stop = end or min(len(data), at + MAX_LINE_BYTES)
        self._line += data[at:stop]
        if len(self._line) > MAX_LINE_BYTES:
            raise RequestMalformed("a chunk's line is too long")
        if self._state == "after" and not b"\r\n".startswith(self._line):
            raise RequestMalformed("a chunk is longer than its size says")
        if end:
            line, self._line = self._line, b""
            self._end_line(line)
        return stop

    def _end_line(self, line: bytes) -> None:
        if self._state == "after":
            self._state = "size"
        elif self._state == "size":
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise RequestMalformed("a chunk's size is not a hexadecimal number")
            self._data_left = int(match[1], 16)
            self._state = "data" if self._data_left else "trailers"
        elif line == b"\r\n":
            self.is_done = True
        else:
            self._end_trailer(line)

    def _end_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        match = _TRAILER_LINE.fullmatch(line)
        if match is None or self._trailer_bytes > MAX_TRAILER_BYTES or match[1].lower() in NOT_IN_TRAILERS:
            raise RequestMalformed("the chunked body's trailers are not headers that may come after a body")


Body = LengthBody | OpenBody | ChunkedBody


def body_of(framing: int) -> Body:
    """Return what follows a head of that framing."""
    if framing == CHUNKED:
        return ChunkedBody()
    if framing == UNTIL_CLOSE:
        return OpenBody()
    return LengthBody(framing)
