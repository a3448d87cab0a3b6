"""Where a body ends, told while its bytes go by; nothing is kept."""

from __future__ import annotations

import re

from gym_queue.errors import RequestMalformed
from gym_queue.master.dataplane.head import CHUNKED, UNTIL_CLOSE

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t -~\x80-\xff]*)?\r\n")
_TRAILER_LINE = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")
MAX_LINE_BYTES = 4096
MAX_TRAILER_BYTES = 64 << 10


class LengthBody:
    """A body of a known size."""

    __slots__ = ("left",)

    def __init__(self, size: int) -> None:
        self.left = size

    def take(self, data: bytes | memoryview) -> int:
        """Return how many of ``data``'s first bytes are of this body."""
        taken = min(self.left, len(data))
        self.left -= taken
        return taken

    @property
    def is_done(self) -> bool:
        """Whether the body has ended."""
        return self.left == 0


class OpenBody:
    """A body that ends with its connection."""

    __slots__ = ()
    is_done = False

    def take(self, data: bytes | memoryview) -> int:
        """Return how many of ``data``'s first bytes are of this body: all."""
        return len(data)


class ChunkedBody:
    """A body in chunks, checked and passed on in the same chunks."""

    __slots__ = ("_data_left", "_line", "_state", "_trailer_bytes", "is_done")

    def __init__(self) -> None:
        self.is_done = False
        self._state = "size"
        self._data_left = 0
        self._line = b""
        self._trailer_bytes = 0

    def take(self, data: bytes | memoryview) -> int:
        """Return how many of ``data``'s first bytes are of this body.

        Raises:
            RequestMalformed: It is not chunked as RFC 9112, section 7.1 says.
        """
        at = 0
        while at < len(data) and not self.is_done:
            if self._state == "data":
                step = min(self._data_left, len(data) - at)
                self._data_left -= step
                at += step
                if self._data_left == 0:
                    self._state = "after"
            else:
                at = self._take_line(data, at)
        return at

    def _take_line(self, data: bytes | memoryview, at: int) -> int:
        """Take the bytes of a line, which may come in several pieces."""
        piece = bytes(data[at : at + MAX_LINE_BYTES])
        end = piece.find(b"\n")
        self._line += piece if end < 0 else piece[: end + 1]
        if len(self._line) > MAX_LINE_BYTES:
            raise RequestMalformed("a chunk's line is too long")
        if end < 0:
            return at + len(piece)
        line, self._line = self._line, b""
        self._end_line(line)
        return at + end + 1

    def _end_line(self, line: bytes) -> None:
        if self._state == "after":
            if line != b"\r\n":
                raise RequestMalformed("a chunk is longer than its size says")
            self._state = "size"
        elif self._state == "size":
            match = _SIZE_LINE.fullmatch(line)
            if match is None:
                raise RequestMalformed("a chunk's size is not a hexadecimal number")
            self._data_left = int(match[1], 16)
            self._state = "data" if self._data_left else "trailers"
        else:
            self._trailer_bytes += len(line)
            if not _TRAILER_LINE.fullmatch(line) or self._trailer_bytes > MAX_TRAILER_BYTES:
                raise RequestMalformed("the chunked body's trailers are not headers")
            self.is_done = line == b"\r\n"


Body = LengthBody | OpenBody | ChunkedBody


def body_of(framing: int) -> Body:
    """Return what follows a head of that framing."""
    if framing == CHUNKED:
        return ChunkedBody()
    if framing == UNTIL_CLOSE:
        return OpenBody()
    return LengthBody(framing)
