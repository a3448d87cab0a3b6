"""Which folder a worker's finished episodes are in: its own while it lives, and the next one's of its id."""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gym_queue.errors import StartupFailed
from gym_queue.worker.putaway import entries, rename_free

UNNAMED = "_unnamed"
"""Folder of workers that were given no id; no id begins so."""
MOST_RIVALS = 1000
"""Workers of one host and id at once."""


class ArchiveFolder:
    """The folder of one worker's episodes, with those that earlier workers of its id left on this host.

    Args:
        root: Folder of all the workers' episodes.
        worker_id: As the worker was given it; None is one without a name, which takes over those of others without.

    Raises:
        StartupFailed: The folder cannot be used.
    """

    def __init__(self, root: Path, worker_id: str | None) -> None:
        host = root / (re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname())[:60] or "host")
        name = worker_id or UNNAMED
        try:
            self.path, self._lock = next(_held(_folders(host, name)))
            others = [other for other in (host / name, *host.glob(f"{name}.*")) if other != self.path]
            for other, lock in _held(iter(others)):
                for entry in entries(other):
                    with suppress(OSError):  # gone, or not ours to move: it stays where it is
                        rename_free(entry, self.path, entry.name)
                os.close(lock)
        except (OSError, StopIteration) as error:
            raise StartupFailed(
                f"episodes cannot be kept in {host}: {error}; name another folder with --episodes-dir, or keep none with --keep-episodes 0"
            ) from error

    def close(self) -> None:
        """Leave the folder to the next worker."""
        os.close(self._lock)


def _folders(host: Path, name: str) -> Iterator[Path]:
    yield host / name
    for number in range(2, MOST_RIVALS):
        yield host / f"{name}.{number}"


def _held(folders: Iterator[Path]) -> Iterator[tuple[Path, int]]:
    """Return those of the folders, made where they are missing, that nobody holds, each with its lock."""
    for folder in folders:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
        else:
            yield folder, fd
