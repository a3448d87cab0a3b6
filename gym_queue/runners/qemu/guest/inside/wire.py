"""Frames over a stream of bytes that has no beginning: what the host and the program inside say to one another.

A virtio-serial port keeps no boundaries, and whoever opens it anew may find the rest of an older talk. So the host
begins with more zero bytes than the longest frame holds (a frame that was cut off swallows some, the others are
skipped) and a hello with a number of its own; it discards all that comes before the answer to that number.
"""

from __future__ import annotations

import struct

PAD, HELLO, OPEN, DATA, END, CREDIT, KILL, ENDED = range(8)
"""The kinds of frames. DATA is followed by END in each direction; OPEN and ENDED hold JSON, CREDIT a number."""
HEAD = struct.Struct(">BII")
"""Kind, number of the stream, bytes that follow."""
COUNT = struct.Struct(">I")
MAX_BYTES = 65536
"""Most that a frame may hold."""
PIECE_BYTES = 32768
"""What a frame of a long transfer holds: the others wait no longer than for one."""
WINDOW_BYTES = 262144
"""What may be on its way in one stream, each way."""
NONCE_BYTES = 16
ASK, ANSWER = b"gym-guest hello ", b"gym-guest ready "
PADDING = bytes(MAX_BYTES + HEAD.size)


class WireError(Exception):
    """What came is no frame."""


def frame(kind: int, stream: int = 0, data: bytes = b"") -> bytes:
    """Return a frame."""
    return HEAD.pack(kind, stream, len(data)) + data


def data_frames(stream: int, data: bytes) -> bytes:
    """Return data of any length as frames."""
    pieces = range(0, len(data), PIECE_BYTES)
    return b"".join(frame(DATA, stream, data[at : at + PIECE_BYTES]) for at in pieces)


class Frames:
    """Finds frames in what comes."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> None:
        """Take what came next."""
        self._held += data

    def skip_to(self, mark: bytes) -> bool:
        """Drop all before a mark; returns whether the mark has come."""
        at = self._held.find(mark)
        del self._held[: at if at >= 0 else max(0, len(self._held) - len(mark))]
        return at >= 0

    def take(self) -> tuple[int, int, bytes] | None:
        """Return the next whole frame: kind, stream and data.

        Raises:
            WireError: There is none where one should begin.
        """
        if self._held[:1] == b"\0":
            self._held = self._held.lstrip(b"\0")
        if len(self._held) < HEAD.size:
            return None
        kind, stream, size = HEAD.unpack_from(self._held)
        if kind > ENDED or size > MAX_BYTES:
            raise WireError(f"no frame begins with {bytes(self._held[: HEAD.size])!r}")
        end = HEAD.size + size
        if len(self._held) < end:
            return None
        data = bytes(self._held[HEAD.size : end])
        del self._held[:end]
        return kind, stream, data
