"""Reading files below a folder, whatever links somebody plants there meanwhile."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from gym_queue.errors import Forbidden, PathNotFound, TooLarge

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A FIFO or a device that took a file's place since it was looked at is opened without waiting."""


def open_file(root: Path, relative: Path) -> int:
    """Open a regular file below a folder, following no link on the way.

    Args:
        root: The folder; links on the way to it are followed.
        relative: The file, without ``..``.

    Returns:
        A descriptor for reading, for the caller to close.

    Raises:
        PathNotFound: There is no such regular file.
        Forbidden: A part of the path is a link.
    """
    folder, name = relative.parts[:-1], relative.name
    if not name or ".." in relative.parts:
        raise PathNotFound(f"{relative} names no file: name one below the folder")
    opened = open_folder(root, folder)
    try:
        return _open_regular(name, opened, relative)
    except OSError as error:
        raise _explain(error, relative) from error
    finally:
        os.close(opened)


def open_folder(root: Path, parts: tuple[str, ...] = ()) -> int:
    """Open a folder below another, following no link below ``root``; for the caller to close."""
    try:
        opened = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _explain(error, root) from error
    for part in parts:
        try:
            inner = os.open(part, _FOLDER, dir_fd=opened)
        except OSError as error:
            raise _explain(error, Path(*parts)) from error
        finally:
            os.close(opened)
        opened = inner
    return opened


def copy_out(root: Path, relative: Path, target: Path, *, limit_bytes: int) -> None:
    """Copy a file, or a folder with what it holds, from below ``root``; links are copied as links.

    Args:
        root: The folder that somebody else may write in.
        relative: What to copy, without ``..``.
        target: Where to; must not exist.
        limit_bytes: Most bytes to copy.

    Raises:
        PathNotFound: It is not there, or is neither file nor folder.
        Forbidden: A part of its path is a link.
        TooLarge: It holds more than ``limit_bytes``.
    """
    if not relative.name or ".." in relative.parts:
        raise PathNotFound(f"{relative} names no file: name one below the folder")
    parent = open_folder(root, relative.parts[:-1])
    try:
        _copy(parent, relative.name, target, _Quota(limit_bytes))
    except OSError as error:
        raise _explain(error, relative) from error
    finally:
        os.close(parent)


class _Quota:
    def __init__(self, limit_bytes: int) -> None:
        self._limit = self._left = limit_bytes

    def take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise TooLarge(f"the files to copy hold more than {self._limit} bytes: copy fewer")


def _copy(parent: int, name: str, target: Path, quota: _Quota) -> None:
    mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    quota.take(0 if stat.S_ISREG(mode) else 4096)  # folders and links are bounded by it as well
    if stat.S_ISLNK(mode):
        target.symlink_to(os.readlink(name, dir_fd=parent))
    elif stat.S_ISDIR(mode):
        folder = os.open(name, _FOLDER, dir_fd=parent)
        try:
            target.mkdir()
            for each in os.listdir(folder):  # noqa: PTH208  a descriptor, not a path
                _copy(folder, each, target / each, quota)
        finally:
            os.close(folder)
    else:
        with os.fdopen(_open_regular(name, parent, Path(name)), "rb") as source, target.open("xb") as copy:
            quota.take(os.fstat(source.fileno()).st_size)
            shutil.copyfileobj(source, copy)
            os.fchmod(copy.fileno(), stat.S_IMODE(mode) & 0o777)


def _open_regular(name: str, folder: int, shown: Path) -> int:
    if not stat.S_ISREG(seen := os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        if stat.S_ISLNK(seen):
            raise Forbidden(f"{shown} is a link: name what it leads to")
        raise PathNotFound(f"{shown} is not a regular file: only files can be read")
    opened = os.open(name, _FILE, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(opened).st_mode):
        os.close(opened)
        raise PathNotFound(f"{shown} is not a regular file: only files can be read")
    return opened


def _explain(error: OSError, shown: Path) -> PathNotFound | Forbidden:
    if isinstance(error, FileNotFoundError):
        return PathNotFound(f"there is no {shown}")
    return Forbidden(f"{shown} cannot be opened: {error.strerror}")
