"""Frames kept in one file until somebody wants them as files of their own.

To make a file takes 30 to 500 us, to append to one 1 us; most frames of most episodes are never looked at.
"""

from __future__ import annotations

from pathlib import Path


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
        self._end = 0

    def add(self, name: str, png: bytes) -> None:
        """Keep a frame under a file name; the last of one name counts."""
        self._file.write(png)
        self._places[name] = (self._end, len(png))
        self._end += len(png)

    def write_out(self) -> None:
        """Make files of the frames that are none yet."""
        for name, (start, size) in self._places.items():
            self._file.seek(start)
            (self._folder / name).write_bytes(self._file.read(size))
        self._places.clear()
        self._file.seek(self._end)

    def close(self) -> None:
        """Drop what was not written out."""
        self._file.close()
