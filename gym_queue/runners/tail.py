"""The last bytes of a stream, and how many came before them."""

from __future__ import annotations

MAX_OUTPUT_BYTES = 1 << 20
"""Most of a command's output that is kept."""


class Tail:
    """The last bytes of a stream.

    Args:
        limit_bytes: How many.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._kept = bytearray()
        self._dropped = 0

    def add(self, chunk: bytes) -> None:
        """Take what came next."""
        self._kept += chunk
        if len(self._kept) > 2 * self._limit:
            self._trim()

    def text(self) -> str:
        """Return what is kept, decoded; a first line says how much is not."""
        self._trim()
        return self.note(self._dropped) + self._kept.decode(errors="replace")

    @staticmethod
    def note(dropped: int) -> str:
        """Return the line that says how many bytes are not kept; empty for none."""
        return f"[{dropped} bytes of output before this were dropped]\n" if dropped > 0 else ""

    def _trim(self) -> None:
        extra = len(self._kept) - self._limit
        if extra > 0:
            self._dropped += extra
            del self._kept[:extra]
