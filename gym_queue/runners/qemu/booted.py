"""Machines that have booted, kept so that the next of their kind starts from there: one of a kind on this host.

A boot takes most of a minute without acceleration; what is kept of it starts in a tenth of a second. It is made once,
by whoever needs it first, beside and then renamed; the others wait meanwhile. The least recently used go.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.snapshots import Snapshot, check_room

logger = logging.getLogger(__name__)

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
        with self._alone(digest):
            if self._use(kept):
                return kept
            self._make(kept, boot)
        self._evict(keep=digest)
        return kept

    def forget(self, snapshot: Snapshot) -> None:
        """Remove one that cannot be started from; those that run from it go on."""
        shutil.rmtree(snapshot.folder, ignore_errors=True)

    def _use(self, snapshot: Snapshot) -> bool:
        try:
            os.utime(snapshot.folder)
        except FileNotFoundError:
            return False
        return True

    def _make(self, kept: Snapshot, boot: Callable[[Snapshot], None]) -> None:
        staged = Snapshot(self._folder / f".{kept.folder.name}.part")  # alone: the lock is held
        shutil.rmtree(staged.folder, ignore_errors=True)
        try:
            staged.folder.mkdir(mode=0o700)
            boot(staged)
            staged.folder.rename(kept.folder)
        except OSError as error:
            raise RunnerFailed(
                f"a machine that has booted cannot be kept in {self._folder}: {error.strerror or error}"
            ) from error
        finally:
            shutil.rmtree(staged.folder, ignore_errors=True)

    def _evict(self, *, keep: str) -> None:
        kept = [each for each in self._folder.iterdir() if not each.name.startswith(".")]
        kept.sort(key=lambda each: each.stat().st_mtime, reverse=True)
        for folder in [each for each in kept if each.name != keep][MAX_KEPT - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)
            logger.info("removed the booted machine %s: %d others were used since", folder.name, MAX_KEPT)
        for part in self._folder.glob(".*.part"):
            self._remove_left(part)

    def _remove_left(self, part: Path) -> None:
        """Remove what a boot that was killed left; one that goes on holds its lock."""
        with part.with_suffix(".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            shutil.rmtree(part, ignore_errors=True)

    @contextmanager
    def _alone(self, digest: str) -> Iterator[None]:
        """Hold the lock of a kind; waits for its holder, who boots one. The lock ends with its holder."""
        with (self._folder / f".{digest}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
