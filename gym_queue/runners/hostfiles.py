"""The home folder of a sandbox that lives on this host: confined paths, copies, mounts, removal."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gym_queue.errors import Forbidden, NotSupported, PathNotFound, RunnerFailed, TooLarge
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import resolve_mount

MAX_DEPTH = 256
"""Folders of a path; making and removing them goes one call deeper for each."""
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class HostHome:
    """``<work_dir>/home`` and ``<work_dir>/tmp``: all the files a host sandbox owns.

    Args:
        work_dir: The environment's own folder.
        copy_bytes: What one copy may take; None is no limit.
    """

    def __init__(self, work_dir: Path, *, copy_bytes: int | None = None) -> None:
        self._copy_bytes = copy_bytes
        self.path = work_dir.absolute() / "home"
        self.tmp = work_dir.absolute() / "tmp"
        self._removing = threading.Lock()

    def create(self) -> None:
        """Make the folders."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.tmp.mkdir(parents=True, exist_ok=True)

    def inside(self, path: str) -> Path:
        """Return where an inside path lies on the host.

        Args:
            path: Relative to the home folder, or below ``~/``, or absolute below the home folder.

        Raises:
            PathNotFound: It is deeper than any path should be.
            Forbidden: It leads out of the home folder, by ``..`` or by a symbolic link.
        """
        relative = path[2:] if path.startswith("~/") else "" if path == "~" else path
        asked = self.path / relative
        if len(asked.parts) > MAX_DEPTH:
            raise PathNotFound(f"{path[:80]!r}.. is deeper than {MAX_DEPTH} folders: name a shorter path")
        root = self.path.resolve()
        try:
            is_inside = ".." not in asked.parts and asked.resolve().is_relative_to(root)
        except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
            is_inside = False
        if not is_inside:
            raise Forbidden(
                f"{path!r} is outside the sandbox: name a path below its home folder, {self.path}"
            )
        return asked

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, of the host to an inside path.

        A file goes into ``target`` when that is a folder; a folder is merged into ``target``.

        Raises:
            PathNotFound: ``source`` does not exist.
            Forbidden: ``target`` is outside the home folder.
            TooLarge: It is more than one copy may take.
        """
        if not source.exists():
            raise PathNotFound(f"there is no {source} on this host to copy into the sandbox")
        check_size(source, self._copy_bytes)
        destination = self.inside(target)
        with _copying(f"{source} into the sandbox"):
            if source.is_dir():
                self._merge(source, destination)
                return
            if destination.is_dir() or target.endswith("/"):
                destination = self.inside(str(destination / source.name))
            destination.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, destination)

    def copy_out(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, from an inside path to the host.

        Raises:
            PathNotFound: ``source`` does not exist inside.
            Forbidden: ``source`` is outside the home folder, or is or holds a link that leads out.
            TooLarge: It is more than one copy may take.
        """
        origin = self.inside(source)
        if not origin.exists():
            raise PathNotFound(f"there is no {source!r} in the sandbox")
        check_size(origin, self._copy_bytes)
        with _copying(f"{source!r} of the sandbox to {target}"):
            if not origin.is_dir():
                destination = target / origin.name if target.is_dir() else target
                destination.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, destination)
                return
            for folder, folders, files in os.walk(origin):
                for name in (*folders, *files):
                    self.inside(str(Path(folder, name)))
            shutil.copytree(origin, target, symlinks=True, dirs_exist_ok=True)

    def mount(self, spec: EnvSpec, env_dir: Path | None) -> None:
        """Copy the spec's mounts below the home folder, as they are now.

        Raises:
            NotSupported: A target is absolute: this sandbox shares the host's file system.
            SpecNotFound: A source cannot be found.
        """
        for mount in spec.mounts:
            if mount.target.startswith("/"):
                raise NotSupported(
                    f"the mount target {mount.target} is absolute, and the local runner shares the host's "
                    "file system: use a target relative to the home folder, or the docker runner"
                )
            self.copy_in(resolve_mount(env_dir or Path.cwd(), mount.source), mount.target)

    def remove(self) -> None:
        """Remove all of it, read-only folders included."""
        with self._removing:
            for root in (self.path, self.tmp):
                if root.is_symlink():
                    root.unlink()
                elif root.exists():
                    open_folders(root)
                    shutil.rmtree(root)

    def _merge(self, source: Path, destination: Path) -> None:
        destination.mkdir(parents=True, exist_ok=True)
        for entry in sorted(source.iterdir()):
            place = self.inside(str(destination / entry.name))
            if entry.is_dir() and not entry.is_symlink():
                self._merge(entry, place)
                continue
            _replace(entry, place)


def check_size(path: Path, limit: int | None) -> None:
    """See that a file, or all the files of a folder, are no larger than a copy may be; links in it count nothing.

    Raises:
        TooLarge: They are.
    """
    if limit is None:
        return
    size = 0 if path.is_dir() else path.stat().st_size
    for folder, _, files in os.walk(path):
        size += sum(Path(folder, name).lstat().st_size for name in files)
        if size > limit:
            break
    if size > limit:
        raise TooLarge(
            f"{path.name} is larger than the {limit:,} bytes that one copy may take: copy it in parts",
            {"max_bytes": limit},
        )


def _replace(entry: Path, place: Path) -> None:
    """Copy a file or link to where nothing, a file or a link is; who looks there sees the old one or the whole new one."""
    if place.is_dir() and not place.is_symlink():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(place))
    partial = place.with_name(f".{secrets.token_hex(8)}.part")
    try:
        shutil.copy2(entry, partial, follow_symlinks=False)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _copying(what: str) -> Iterator[None]:
    """Say so when the disk is full; other faults are of the paths, and the caller's to mend."""
    try:
        yield
    except OSError as error:  # shutil.Error too, which has the files' errors as text
        if error.errno in _NO_ROOM or os.strerror(errno.ENOSPC) in str(error):
            raise RunnerFailed(f"cannot copy {what}: {os.strerror(errno.ENOSPC)}") from error
        raise


def open_folders(root: Path) -> None:
    """Give back the rights that removing needs; links are not followed."""
    root.chmod(stat.S_IRWXU)
    for folder, folders, _ in os.walk(root):  # top down: a folder is opened before it is read
        for name in folders:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(stat.S_IRWXU)
