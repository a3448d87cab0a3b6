"""Ending processes and removing folders that do not want to go."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from gym_queue.runners.processes import sweep

logger = logging.getLogger(__name__)

SWEEP_TIMEOUT_S = 5.0


def remove_env(env_id: str, work_dir: Path, save: Callable[[Path, str], None]) -> None:
    """End what carries an environment's mark, and remove its folder.

    Args:
        env_id: The environment; its own process has ended.
        work_dir: The environment's folder.
        save: Takes out of the folder, which it is given with the environment's id, what outlives the environment.
    """
    sweep(env_id, timeout_s=SWEEP_TIMEOUT_S)
    save(work_dir, env_id)
    remove_tree(work_dir)


def kill_trees(roots: Iterable[psutil.Process]) -> None:
    """Send SIGKILL to processes and all their descendants; those that are gone or another user's are passed over."""
    for root in roots:
        tree = [root]
        with suppress(psutil.Error):
            tree += root.children(recursive=True)
        for process in tree:
            with suppress(psutil.Error):
                process.kill()


def remove_tree(path: Path) -> None:
    """Remove a folder with all it holds, read-only folders included; links are never followed."""
    _open_folder(path)
    for folder, folders, _ in os.walk(path):  # top down: a folder is opened before it is read
        for name in folders:
            _open_folder(Path(folder, name))
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        logger.error("the folder %s could not be removed whole", path)


def _open_folder(path: Path) -> None:
    if not path.is_symlink():
        with suppress(OSError):
            path.chmod(stat.S_IRWXU)
