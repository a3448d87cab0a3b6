"""Frames kept in one file until somebody wants them as files of their own.

To make a file takes 30 to 500 us, to append to one 1 us; most frames of most episodes are never looked at.
"""

from __future__ import annotations

import os
from pathlib import Path

LEAST_DROPPED = 64 << 20
"""Bytes of dropped frames that are not worth the work of getting rid of them."""


class FrameSpool:
    """Frames of an episode, appended to a file without a name.

    Args:
        folder: Where the frames belong.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = folder / ".frames"
        self._file = path.open("w+b", buffering=0)
        path.unlink()  # it goes with the process
        self._places: dict[str, tuple[int, int]] = {}
        self._end = self._dropped = 0

    def add(self, name: str, png: bytes) -> None:
        """Keep a frame under a file name; the last of one name counts."""
        self.drop(name)
        self._file.write(png)
        self._places[name] = (self._end, len(png))
        self._end += len(png)

    def drop(self, name: str) -> bool:
        """Forget a frame; return whether it was here, and not a file of its own."""
        place = self._places.pop(name, None)
        if place is None:
            return False
        self._dropped += place[1]
        if self._dropped > max(LEAST_DROPPED, self._end - self._dropped):
            self._compact()
        return True

    def write_out(self) -> None:
        """Make files of the frames that are none yet."""
        for name, (start, size) in self._places.items():
            self._file.seek(start)
            (self._folder / name).write_bytes(self._file.read(size))
        self._places.clear()
        self._compact()

    def close(self) -> None:
        """Drop what was not written out."""
        self._file.close()

    def _compact(self) -> None:
        """Move the frames that are left to the front of the file; done when half of it is dropped ones."""
        at = 0
        for name, (start, size) in self._places.items():  # in the order they came, so none is written over
            frame = os.pread(self._file.fileno(), size, start)
            os.pwrite(self._file.fileno(), frame, at)
            self._places[name] = (at, size)
            at += size
        self._file.truncate(at)
        self._file.seek(at)
        self._end, self._dropped = at, 0
