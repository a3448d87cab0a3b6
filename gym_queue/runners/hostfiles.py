"""The home folder of a sandbox that lives on this host: confined paths, copies, mounts, removal."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path

from gym_queue.errors import Forbidden, NotSupported, PathNotFound
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import resolve_mount


class HostHome:
    """``<work_dir>/home`` and ``<work_dir>/tmp``: all the files a host sandbox owns.

    Args:
        work_dir: The environment's own folder.
    """

    def __init__(self, work_dir: Path) -> None:
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
            Forbidden: It leads out of the home folder, by ``..`` or by a symbolic link.
        """
        relative = path[2:] if path.startswith("~/") else "" if path == "~" else path
        asked = self.path / relative
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
        """
        if not source.exists():
            raise PathNotFound(f"there is no {source} on this host to copy into the sandbox")
        destination = self.inside(target)
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
        """
        origin = self.inside(source)
        if not origin.exists():
            raise PathNotFound(f"there is no {source!r} in the sandbox")
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
                    _open_folders(root)
                    shutil.rmtree(root)

    def _merge(self, source: Path, destination: Path) -> None:
        destination.mkdir(parents=True, exist_ok=True)
        for entry in sorted(source.iterdir()):
            place = self.inside(str(destination / entry.name))
            if entry.is_dir() and not entry.is_symlink():
                self._merge(entry, place)
                continue
            if place.is_symlink():
                place.unlink()
            shutil.copy2(entry, place, follow_symlinks=False)


def _open_folders(root: Path) -> None:
    """Give back the rights that removing needs; links are not followed."""
    root.chmod(stat.S_IRWXU)
    for folder, folders, _ in os.walk(root):  # top down: a folder is opened before it is read
        for name in folders:
            path = Path(folder, name)
            if not path.is_symlink():
                path.chmod(stat.S_IRWXU)
