"""Files and folders as tar streams between a sandbox and this host: packed for whom they shall belong to, and nothing odd let out."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Protocol, cast

from gym_queue.errors import Forbidden, RequestInvalid, TooLarge

BUFFER_BYTES = 131072


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> int:
        """Take all of them."""


def pack(source: Path, name: str, packed: Sink, *, uid: int, gid: int) -> None:
    """Pack a file, or what a folder holds.

    Args:
        source: It.
        name: What a file is called inside; ``.`` for a folder.
        packed: Where to; all that is asked of it is ``write``.
        uid: Whose it is inside.
        gid: Whose group.

    Raises:
        RequestInvalid: It holds something that is neither file, folder nor link.
    """
    with tarfile.open(
        mode="w|", fileobj=cast(IO[bytes], packed), bufsize=BUFFER_BYTES, format=tarfile.PAX_FORMAT
    ) as tar:
        for member, file in _members(source, name):
            member.uid, member.gid = uid, gid
            if file is None:
                tar.addfile(member)
            else:
                with file.open("rb") as opened:
                    tar.addfile(member, opened)


def _members(source: Path, name: str) -> Iterator[tuple[tarfile.TarInfo, Path | None]]:
    """Yield what to pack; the topmost folder is there already, and keeps its rights."""
    if not source.is_dir():
        yield _member(source.resolve(), name), source
        return
    for folder, folders, files in os.walk(source):
        for each in sorted((*folders, *files)):
            path = Path(folder, each)
            member = _member(path, path.relative_to(source).as_posix())
            yield member, path if member.isreg() else None


def _member(path: Path, name: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    status = path.lstat()
    made.mode, made.mtime = status.st_mode & 0o7777, int(status.st_mtime)
    if path.is_symlink():
        made.type, made.linkname = tarfile.SYMTYPE, str(path.readlink())
    elif path.is_dir():
        made.type = tarfile.DIRTYPE
    elif path.is_file():
        made.size = status.st_size
    else:
        raise RequestInvalid(f"{path} is neither file, folder nor link: it cannot be copied")
    return made


def unpack_to(
    tar: tarfile.TarFile, target: Path, *, shown: str, limit_bytes: int | None, scratch: Path
) -> None:
    """Put what a sandbox sent where a copy goes: a file to ``target``, or into it; a folder is merged into it.

    Args:
        tar: One file, or one folder with what it holds.
        target: Missing folders are made.
        shown: What was copied, for errors.
        limit_bytes: Most that its files may hold; None is no limit.
        scratch: Folder for what is on its way.

    Raises:
        Forbidden, TooLarge: As ``unpack``.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as staging:
        unpack(tar, Path(staging), shown=shown, limit_bytes=limit_bytes)
        (found,) = Path(staging).iterdir()
        _move(found, target)


def unpack(tar: tarfile.TarFile, folder: Path, *, shown: str, limit_bytes: int | None = None) -> None:
    """Unpack what a sandbox sent: files and folders first, links last, so that none is written through.

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
        raise Forbidden(f"{shown} came out of the sandbox with the path {name!r}, outside of it")
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
