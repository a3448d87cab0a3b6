"""Files in and out of a container, as tar streams: never whole in memory, and nothing odd let out."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from docker.errors import APIError
from docker.models.containers import Container

from gym_queue.errors import Forbidden, PathNotFound, RequestInvalid, RunnerFailed, TooLarge
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
                self._pack(source, name, packed)
            packed.seek(0)
            self._put(folder, packed, f"{source} cannot be copied to {target}")

    def _pack(self, source: Path, name: str, packed: IO[bytes]) -> None:
        with tarfile.open(mode="w", fileobj=packed, format=tarfile.PAX_FORMAT) as tar:
            for member, file in self._members(source, name):
                if file is None:
                    tar.addfile(member)
                else:
                    with file.open("rb") as opened:
                        tar.addfile(member, opened)

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
            tempfile.TemporaryDirectory(dir=self._scratch) as staging,
        ):
            with self._archive(path, source) as tar:
                unpack(tar, Path(staging), shown=source, limit_bytes=self._copy_bytes)
            (found,) = Path(staging).iterdir()
            _move(found, target)

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

    def _members(self, source: Path, name: str) -> Iterator[tuple[tarfile.TarInfo, Path | None]]:
        """Yield what to pack; the topmost folder is there already, and keeps its rights."""
        if not source.is_dir():
            yield self._member(source.resolve(), name), source
            return
        for folder, folders, files in os.walk(source):
            for each in sorted((*folders, *files)):
                path = Path(folder, each)
                member = self._member(path, path.relative_to(source).as_posix())
                yield member, path if member.isreg() else None

    def _member(self, path: Path, name: str) -> tarfile.TarInfo:
        made = tarfile.TarInfo(name)
        status = path.lstat()
        made.mode, made.mtime = status.st_mode & 0o7777, int(status.st_mtime)
        made.uid, made.gid = self._user.uid, self._user.gid
        if path.is_symlink():
            made.type, made.linkname = tarfile.SYMTYPE, str(path.readlink())
        elif path.is_dir():
            made.type = tarfile.DIRTYPE
        elif path.is_file():
            made.size = status.st_size
        else:
            raise RequestInvalid(f"{path} is neither file, folder nor link: it cannot be copied")
        return made

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


def unpack(tar: tarfile.TarFile, folder: Path, *, shown: str, limit_bytes: int | None = None) -> None:
    """Unpack what a container sent: files and folders first, links last, so that none is written through.

    Args:
        tar: One file, or one folder with what it holds.
        folder: Empty.
        shown: What was copied, for errors.
        limit_bytes: Most that its files may hold; None is no limit.

    Raises:
        Forbidden: It holds a device, a FIFO, a path out of ``folder`` or a link that leads out.
        TooLarge: Its files hold more.
    """
    left = limit_bytes
    links: list[tuple[Path, str]] = []
    folders: list[tuple[Path, int]] = []
    for member in tar:
        if left is not None and (left := left - member.size) < 0:
            raise TooLarge(
                f"{shown} is larger than the {limit_bytes:,} bytes that one copy may take: copy it in parts",
                {"max_bytes": limit_bytes},
            )
        path = folder.joinpath(*_parts_inside(member.name, shown))
        if member.isdir():
            path.mkdir(exist_ok=True)
            folders.append((path, member.mode))
        elif member.isreg():
            _write(tar, member, path)
        elif member.issym() and leads_inside(member.linkname, depth=len(path.relative_to(folder).parts) - 2):
            links.append((path, member.linkname))
        elif member.islnk():
            os.link(folder.joinpath(*_parts_inside(member.linkname, shown)), path, follow_symlinks=False)
        else:
            kind = f"a link to {member.linkname}, outside of it" if member.issym() else "a device or FIFO"
            raise Forbidden(f"{shown} holds {member.name}, {kind}: copy what lies beside it")
    for path, linkname in links:
        path.symlink_to(linkname)
    for path, mode in reversed(folders):
        path.chmod(mode & 0o777 | 0o700)


def leads_inside(linkname: str, *, depth: int) -> bool:
    """Whether a link stays below a folder, whatever other such links its path goes through.

    Args:
        linkname: What the link holds.
        depth: How many folders lie between that folder and the link; negative for the link itself.
    """
    parts = PurePosixPath(linkname).parts
    ups = next((index for index, part in enumerate(parts) if part != ".."), len(parts))
    return not linkname.startswith("/") and ups <= depth and ".." not in parts[ups:]


def _parts_inside(name: str, shown: str) -> tuple[str, ...]:
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts:
        raise Forbidden(f"{shown} came out of the container with the path {name!r}, outside of it")
    return parts


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = tar.extractfile(member)
    assert content is not None  # noqa: S101  it is a regular file
    with path.open("xb") as file:
        shutil.copyfileobj(content, file)
        os.fchmod(file.fileno(), member.mode & 0o777)


def _move(found: Path, target: Path) -> None:
    """Move a file to ``target``, or into it when that is a folder; merge a folder into it."""
    if not found.is_dir():
        destination = target / found.name if target.is_dir() else target
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(found, destination)
        return
    shutil.copytree(found, target, symlinks=True, dirs_exist_ok=True, copy_function=shutil.move)
