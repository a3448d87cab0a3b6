"""Frames kept in one file until somebody wants them as files of their own.

To make a file takes 30 to 500 us, to append to one 1 us; most frames of most episodes are never looked at. Each
frame is preceded by its name and size, so that the file says by itself what it holds, also after its process was
killed; HEAD is the format.
"""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

SPOOL = ".frames"
"""The file's name in the episode's folder."""
MARK = b"GQF1"
HEAD = struct.Struct("<4s28sQ")
"""Before each frame: MARK, its name, its size in bytes."""
LEAST_DROPPED = 64 << 20
"""Bytes of dropped frames that are not worth the work of getting rid of them."""
MOST_FRAMES = 200_000
"""Frames of one file that are looked for: it may have been written by somebody else."""


class FrameSpool:
    """Frames of an episode, appended to a file.

    Args:
        folder: Where the frames belong.
        is_kept: Leave the file when the process ends; else it has no name, and goes with the process.
    """

    def __init__(self, folder: Path, *, is_kept: bool = False) -> None:
        self._folder = folder
        path = folder / SPOOL
        self._file = path.open("w+b", buffering=0)
        if not is_kept:
            path.unlink()  # the file lives while it is open
        self._places: dict[str, tuple[int, int]] = {}
        """Name → where the frame's head is, and the frame's size."""
        self._end = self._dropped = 0

    def add(self, name: str, png: bytes) -> None:
        """Keep a frame under a file name of at most 28 bytes; the last of one name counts."""
        self.drop(name)
        size = HEAD.size + len(png)
        if os.writev(self._file.fileno(), [HEAD.pack(MARK, name.encode(), len(png)), png]) != size:
            self._file.truncate(self._end)
            self._file.seek(self._end)
            raise OSError(errno.ENOSPC, "no room for a frame", str(self._folder))
        self._places[name] = (self._end, len(png))
        self._end += size

    def drop(self, name: str) -> bool:
        """Forget a frame; return whether it was here, and not a file of its own."""
        place = self._places.pop(name, None)
        if place is None:
            return False
        self._dropped += HEAD.size + place[1]
        if self._dropped > max(LEAST_DROPPED, self._end - self._dropped):
            self._compact()
        return True

    def sizes(self) -> dict[str, int]:
        """Return the frames that are no files yet, with their sizes in bytes; any thread may ask."""
        return {name: size for name, (_, size) in self._places.copy().items()}

    def write_out(self) -> None:
        """Make files of the frames that are none yet."""
        if not self._places:
            return
        for name, (start, size) in self._places.items():
            (self._folder / name).write_bytes(os.pread(self._file.fileno(), size, start + HEAD.size))
        self._places.clear()
        self._compact()

    def close(self) -> None:
        """Drop what was not written out, unless the file is kept."""
        self._file.close()

    def _compact(self) -> None:
        """Move the frames that are left to the front of the file; done when half of it is dropped ones."""
        at = 0
        for name, (start, size) in self._places.items():  # in the order they came, so none is written over
            frame = os.pread(self._file.fileno(), HEAD.size + size, start)
            os.pwrite(self._file.fileno(), frame, at)
            self._places[name] = (at, size)
            at += len(frame)
        self._file.truncate(at)
        self._file.seek(at)
        self._end, self._dropped = at, 0


def read_spool(fd: int) -> dict[str, tuple[int, int]]:
    """Return what a spool's file holds: name → where the frame begins, and its size, in bytes.

    What a killed process left half written, and all behind it, is passed over.

    Args:
        fd: The file, open for reading.
    """
    found: dict[str, tuple[int, int]] = {}
    at, end = 0, os.fstat(fd).st_size
    for _ in range(MOST_FRAMES):
        head = os.pread(fd, HEAD.size, at)
        if len(head) < HEAD.size:
            break
        mark, name, size = HEAD.unpack(head)
        at += HEAD.size
        if mark != MARK or size > end - at:
            break
        found[name.rstrip(b"\0").decode("ascii", "replace")] = (at, size)
        at += size
    return found
