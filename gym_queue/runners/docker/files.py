"""Files in and out of a container, as tar streams: never whole in memory, and nothing odd let out."""

from __future__ import annotations

import io
import shlex
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from docker.errors import APIError
from docker.models.containers import Container

from gym_queue.errors import Forbidden, PathNotFound, RequestInvalid, RunnerFailed
from gym_queue.runners import tarfiles
from gym_queue.runners.docker.client import Daemon, explain, translated
from gym_queue.runners.docker.exec import Shells
from gym_queue.runners.hostfiles import check_size

EXEC_TIMEOUT_S = 60.0
_PLACE = """\
target={target}
if [ -d "$target" ] || {is_folder}; then
  mkdir -p -- "$target" && cd -P -- "$target" && printf 'into\\n%s' "$PWD"
else
  mkdir -p -- "$(dirname -- "$target")" && cd -P -- "$(dirname -- "$target")" && printf 'as\\n%s' "$PWD"
fi"""


@dataclass(frozen=True, slots=True)
class InsideUser:
    """Whom commands inside run as."""

    uid: int
    gid: int
    home: str


class ContainerFiles:
    """Copies to and from one container.

    Args:
        daemon: Where the container is.
        container: It; it runs.
        shells: Of the same.
        user: Who owns what is copied in; relative paths begin in its home folder.
        scratch: Folder of the host for what is on its way.
        copy_bytes: What one copy may take; None is no limit.
    """

    def __init__(
        self,
        daemon: Daemon,
        container: Container,
        shells: Shells,
        user: InsideUser,
        scratch: Path,
        *,
        copy_bytes: int | None = None,
    ) -> None:
        self._daemon, self._container, self._shells = daemon, container, shells
        self._user, self._scratch = user, scratch
        self._copy_bytes = copy_bytes

    def copy_in(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, of the host to a path inside.

        A file goes into ``target`` when that is a folder; a folder is merged into ``target``.

        Raises:
            PathNotFound: ``source`` does not exist.
            RequestInvalid: ``target`` cannot be written.
            TooLarge: It is more than one copy may take.
        """
        if not source.exists():
            raise PathNotFound(f"there is no {source} on this host to copy into the container")
        check_size(source, self._copy_bytes)
        path = self._absolute(target)
        goes_into, folder = self._make_place(path, is_folder=source.is_dir() or target.endswith("/"))
        name = "." if source.is_dir() else source.name if goes_into else PurePosixPath(path).name
        with tempfile.TemporaryFile(dir=self._scratch) as packed:
            with translated(f"{source} cannot be read"):
                tarfiles.pack(source, name, packed, uid=self._user.uid, gid=self._user.gid)
            packed.seek(0)
            self._put(folder, packed, f"{source} cannot be copied to {target}")

    def _put(self, folder: str, packed: IO[bytes], what: str) -> None:
        with translated(what):
            try:
                self._container.put_archive(folder, packed)
            except APIError as error:
                if "read-only" in str(error.explanation):
                    raise Forbidden(f"{what}: {explain(error)}") from error
                raise

    def copy_out(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, from inside to a path of the host.

        Raises:
            PathNotFound: ``source`` does not exist inside.
            Forbidden: It is or holds a device, or a link that leads out of it.
            TooLarge: It is more than one copy may take.
        """
        path = self._absolute(source)
        with (
            translated(f"{source} cannot be copied from the container"),
            self._archive(path, source) as tar,
        ):
            tarfiles.unpack_to(tar, target, shown=source, limit_bytes=self._copy_bytes, scratch=self._scratch)

    def _absolute(self, path: str) -> str:
        if "\0" in path or not path:
            raise PathNotFound(f"{path!r} is no path inside the container")
        if path == "~" or path.startswith("~/"):
            path = f".{path[1:]}"
        return str(PurePosixPath(self._user.home, path))

    def _make_place(self, path: str, *, is_folder: bool) -> tuple[bool, str]:
        """Make the folder that a copy goes to; returns whether it is the path itself, and where it is."""
        script = _PLACE.format(target=shlex.quote(path), is_folder="true" if is_folder else "false")
        result = self._shells.run(script, timeout_s=EXEC_TIMEOUT_S)
        if result.exit_status != 0:  # a folder that only root may make
            result = self._shells.run(script, timeout_s=EXEC_TIMEOUT_S, user="0:0")
        if result.exit_status != 0:
            raise RequestInvalid(
                f"{path} cannot be made in the container: {result.output.strip() or 'no reason given'}"
            )
        how, _, folder = result.output.rpartition("\n")
        return how.endswith("into"), folder

    @contextmanager
    def _archive(self, path: str, shown: str) -> Iterator[tarfile.TarFile]:
        try:
            with (
                self._daemon.archive(str(self._container.id), path) as stream,
                tarfile.open(mode="r|", fileobj=stream) as tar,
            ):
                yield tar
        except tarfile.TarError as error:
            raise RunnerFailed(f"{shown} came out of the container broken: {error}") from error


def make_folder(container: Container, path: str, user: InsideUser) -> None:
    """Make a folder for a user, with its parent: by the daemon, who needs no right inside."""
    packed = io.BytesIO()
    with tarfile.open(mode="w", fileobj=packed) as tar:
        made = tarfile.TarInfo(path.lstrip("/"))
        made.type, made.mode, made.uid, made.gid = tarfile.DIRTYPE, 0o755, user.uid, user.gid
        tar.addfile(made)
    with translated(f"the folder {path} cannot be made in the container"):
        container.put_archive("/", packed.getvalue())
