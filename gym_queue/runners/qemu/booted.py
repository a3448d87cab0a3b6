"""Machines that have booted, kept so that the next of their kind starts from there: one of a kind on this host.

A boot takes most of a minute without acceleration; what is kept of it starts in a tenth of a second. It is made once,
by whoever needs it first, beside and then renamed; the others wait meanwhile. The least recently used go.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.filelock import hold
from gym_queue.runners.qemu.snapshots import GONE, PART, Snapshot, check_room

logger = logging.getLogger(__name__)

BOOTED = "booted"
"""Folder of the image store that they are kept in."""
MAX_KEPT = 8
"""Kinds of machines: images by memory, processors and screen."""


class BootedMachines:
    """The booted machines of one host.

    Args:
        folder: Where they are kept; made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, digest: str, memory_bytes: int, boot: Callable[[Snapshot], None]) -> Snapshot:
        """Return what is kept of a kind of machine; boot one if nothing is.

        Args:
            digest: Of the machine (``Machine.digest``).
            memory_bytes: Its memory.
            boot: Boots a machine into a snapshot whose folder is there, and freezes it; raises when it cannot.

        Raises:
            RunnerFailed: It does not boot, or there is no room for it.
        """
        kept = Snapshot(self._folder / digest)
        if self._use(kept):
            return kept
        check_room(self._folder, memory_bytes)
        try:
            with hold(self._lock_of(digest)):  # waits for whoever boots one
                if self._use(kept):
                    return kept
                self._make(kept, boot)
        except OSError as error:
            raise RunnerFailed(
                f"a machine that has booted cannot be kept in {self._folder}: {error.strerror or error}"
            ) from error
        try:
            self._evict(keep=digest)
        except OSError as error:  # another user's
            logger.warning("old machines stay in %s: %s", self._folder, error)
        return kept

    def forget(self, snapshot: Snapshot) -> None:
        """Remove one that cannot be started from; those that run from it go on."""
        with suppress(OSError):
            snapshot.remove()

    def of_image(self, digest: str) -> list[Snapshot]:
        """Return those of an image.

        Args:
            digest: The image's.
        """
        return [Snapshot(folder) for folder in self._folder.glob(f"{prefix_of(digest)}-*")]

    def forget_image(self, digest: str) -> None:
        """Remove those of an image.

        Args:
            digest: The image's.
        """
        for snapshot in self.of_image(digest):
            self.forget(snapshot)

    def _use(self, snapshot: Snapshot) -> bool:
        if not snapshot.is_whole():
            self.forget(snapshot)
            return False
        with suppress(OSError):  # another user's
            os.utime(snapshot.folder)
        return True

    def _make(self, kept: Snapshot, boot: Callable[[Snapshot], None]) -> None:
        staged = Snapshot(self._folder / f".{kept.folder.name}{PART}")  # alone: the lock is held
        shutil.rmtree(staged.folder, ignore_errors=True)
        try:
            staged.folder.mkdir(mode=0o700)
            boot(staged)
            staged.folder.rename(kept.folder)
        except OSError:
            if not kept.is_whole():  # else another user of this folder was first
                raise
        finally:
            shutil.rmtree(staged.folder, ignore_errors=True)

    def _evict(self, *, keep: str) -> None:
        kept = [each for each in self._folder.iterdir() if not each.name.startswith(".")]
        kept.sort(key=_used_at, reverse=True)
        for folder in [each for each in kept if each.name != keep][MAX_KEPT - 1 :]:
            self.forget(Snapshot(folder))
            logger.info("removed the booted machine %s: %d others were used since", folder.name, MAX_KEPT)
        for part in self._folder.glob(f".*{PART}"):
            self._remove_left(part)
        for gone in self._folder.glob(f".*{GONE}"):
            shutil.rmtree(gone, ignore_errors=True)

    def _remove_left(self, part: Path) -> None:
        """Remove what a boot that was killed left; one that goes on holds its lock."""
        with part.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            shutil.rmtree(part, ignore_errors=True)

    def _lock_of(self, digest: str) -> Path:
        return self._folder / f".{digest}.lock"


def prefix_of(digest: str) -> str:
    """Return what the names of an image's booted machines begin with."""
    return digest.removeprefix("sha256:")[:16]


def _used_at(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0  # gone meanwhile
