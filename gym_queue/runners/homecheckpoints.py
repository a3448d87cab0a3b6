"""Checkpoints of sandboxes that are a home folder on this host: copies of it."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.base import CheckpointDamaged, RunnerSetup, VmOptions
from gym_queue.runners.hostfiles import open_folders
from gym_queue.specs.env import EnvSpec


class HomeCheckpoints:
    """A folder of copies, each under its key. A copy is made beside and renamed when it is whole.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fingerprint(self, spec: EnvSpec, env_dir: Path | None, *, vm: VmOptions, machine: bool) -> str:  # noqa: ARG002  (there is no image)
        """Return the empty string: the host itself is what the sandbox is made of."""
        return ""

    def holds(self, key: str) -> bool:
        """Return whether a copy is there, whole."""
        return (self._folder / key).is_dir()

    def remove(self, key: str) -> None:
        """Remove a copy, if there is one."""
        path = self._folder / key
        if path.exists():
            gone = path.rename(self._folder / f".{key}.gone")
            _remove(gone)

    def save(self, home: Path, key: str) -> int:
        """Copy a home folder: files, folders and links; sockets and pipes are left out.

        Returns:
            The size of its files in bytes.

        Raises:
            RunnerFailed: There is no room, or no right to read it.
        """
        staged = self._folder / f".{key}.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            shutil.copytree(home, staged, symlinks=True, ignore=_specials)
            staged.rename(self._folder / key)
        except OSError as error:
            _remove(staged)
            raise RunnerFailed(f"the checkpoint {key} cannot be kept in {self._folder}: {error}") from error
        return sum(path.lstat().st_size for path in (self._folder / key).rglob("*") if path.is_file())

    def restore(self, key: str, home: Path) -> None:
        """Fill a home folder from a copy.

        Raises:
            CheckpointDamaged: The copy is gone, or holds what cannot be copied.
            RunnerFailed: There is no room.
        """
        try:
            shutil.copytree(self._folder / key, home, symlinks=True, dirs_exist_ok=True)
        except OSError as error:
            is_full = os.strerror(errno.ENOSPC) in str(error)  # of one file of many, or of all
            kind = RunnerFailed if is_full else CheckpointDamaged
            raise kind(f"the checkpoint {key} cannot be restored to {home}: {error}") from error


def restore_home(setup: RunnerSetup, home: Path) -> None:
    """Fill a home folder from the checkpoint that a setup names, if it names one.

    Raises:
        RunnerFailed: The checkpoint is gone, or there is no room.
    """
    if setup.checkpoint is not None:
        _storage(setup).restore(setup.checkpoint, home)


def save_home(setup: RunnerSetup, home: Path, key: str) -> int:
    """Keep a copy of a home folder; see HomeCheckpoints.save."""
    return _storage(setup).save(home, key)


def _storage(setup: RunnerSetup) -> HomeCheckpoints:
    if setup.checkpoint_dir is None:
        raise RunnerFailed("this sandbox was started without a folder for checkpoints: none can be kept")
    return HomeCheckpoints(setup.checkpoint_dir)


def _specials(folder: str, names: list[str]) -> list[str]:
    kinds = (stat.S_ISREG, stat.S_ISDIR, stat.S_ISLNK)
    modes = ((name, Path(folder, name).lstat().st_mode) for name in names)
    return [name for name, mode in modes if not any(is_kind(mode) for is_kind in kinds)]


def _remove(path: Path) -> None:
    if path.exists():
        open_folders(path)
        shutil.rmtree(path)
