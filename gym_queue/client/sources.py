"""Files of this machine that are sent as they are read."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from gym_queue.client.network import Network
from gym_queue.errors import Forbidden, PathNotFound, RequestInvalid

PART_BYTES = 256 << 10


class SourceFile:
    """An open file, sent as long as it was when it was opened.

    Args:
        fd: Its descriptor, closed by ``close``.
        path: What errors call it.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self.size = os.fstat(fd).st_size
        """In bytes."""
        self._fd, self._path = fd, path

    async def parts(self, network: Network) -> AsyncIterator[bytes]:
        """Yield its bytes.

        Raises:
            RequestInvalid: It was cut, or cannot be read on.
        """
        place = 0
        while place < self.size:
            part = await network.offload(lambda: self._read(place))  # noqa: B023  runs before the loop goes on
            place += len(part)
            yield part

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def _read(self, place: int) -> bytes:
        try:
            part = os.pread(self._fd, min(PART_BYTES, self.size - place), place)
        except OSError as error:
            raise RequestInvalid(f"{self._path} cannot be read: {error.strerror or error}") from error
        if not part:
            raise RequestInvalid(f"{self._path} became shorter while it was sent: send it once it is whole")
        return part


def open_source(path: Path) -> SourceFile:
    """Open a file of this machine.

    Raises:
        PathNotFound: It is not there.
        Forbidden: It may not be read.
        RequestInvalid: It is not a regular file.
    """
    try:
        fd = os.open(
            path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        )  # a FIFO without a writer must not hold us up
    except PermissionError as error:
        raise Forbidden(f"{path} of this machine may not be read: {error.strerror}") from error
    except (OSError, ValueError) as error:
        raise PathNotFound(f"there is no {path} on this machine to send: {error}") from error
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return SourceFile(fd, path)
    os.close(fd)
    raise RequestInvalid(f"{path} is not a regular file: send single files, or pack the folder first")
