"""The part of a worker that keeps finished episodes: it opens the archive, and tidies it now and then."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from gym_queue.errors import StartupFailed
from gym_queue.settings import WorkerSettings, episodes_path
from gym_queue.web.limits import MIB
from gym_queue.worker.archive import Archive, ArchiveLimits
from gym_queue.worker.archivefolder import ArchiveFolder
from gym_queue.worker.putaway import KeepRule

logger = logging.getLogger(__name__)

TIDY_S = 5.0
"""Between two looks at what has come."""
STOP_TIMEOUT_S = 10.0


class ArchivePart:
    """Keeps the episodes of one worker, in a thread of its own.

    Args:
        archive: What it tidies; None keeps nothing.
        tidy_s: Seconds between two times.
    """

    def __init__(self, archive: Archive | None, *, tidy_s: float = TIDY_S) -> None:
        self._archive, self._tidy_s = archive, tidy_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="episodes", daemon=True)

    def start(self) -> None:
        """Tidy from now on."""
        if self._archive is not None:
            self._thread.start()

    def stop(self) -> None:
        """Tidy no more: what comes from here on, the next worker of this id tidies."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        assert self._archive is not None  # noqa: S101  start() has looked
        while True:
            try:
                self._archive.tidy()
            except Exception:
                logger.exception(
                    "the finished episodes could not be tidied, which is a bug; it is tried again"
                )
            if self._stop.wait(self._tidy_s):
                return


def open_archive(settings: WorkerSettings, worker_id: str, work_dir: Path) -> Archive | None:
    """Return a worker's archive; None when it keeps none.

    Args:
        settings: All of the worker's.
        worker_id: The worker's, also when ``settings`` name none.
        work_dir: The worker's folder.

    Raises:
        StartupFailed: The folder that the settings name cannot be used.
    """
    if not settings.keep_episodes:
        return None
    try:
        folder = ArchiveFolder((settings.episodes_dir or episodes_path()).absolute(), settings.worker_id)
    except StartupFailed as error:
        if settings.episodes_dir is not None:
            raise
        logger.warning("no episodes are kept: %s", error)
        return None
    limits = ArchiveLimits(settings.keep_episodes, int(settings.episodes_gb * 1024 * MIB))
    return Archive(worker_id, KeepRule(folder.path, work_dir / "leaving"), limits)
