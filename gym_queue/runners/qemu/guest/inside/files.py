"""Files as tar streams, in a process of their own: what comes from the host is unpacked, what it asks for is packed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import sys
import tarfile
from collections.abc import Callable, Iterator
from typing import IO, Any

from .programs import Account

PIECE_BYTES = 131072


class Refused(Exception):
    """A copy that cannot be made.

    Args:
        kind: ``not_found``, ``invalid``, ``read_only`` or ``failed``.
        text: Why.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind, self.text = kind, text


def reported(copy: Callable[[], None]) -> Callable[[], None]:
    """Return a function that copies and writes to standard error, as JSON, why it could not; empty when it could."""

    def run() -> None:
        refused = None
        try:
            copy()
        except Refused as error:
            refused = (error.kind, error.text)
        except OSError as error:
            kind = "read_only" if error.errno == errno.EROFS else "failed"
            refused = (kind, f"{_shown(error.filename)}: {error.strerror}")
        except tarfile.TarError as error:
            refused = ("failed", str(error))
        if refused:
            os.write(2, json.dumps(refused).encode())

    return run


def unpacker(path: str, account: Account, name: str | None) -> Callable[[], None]:
    """Return a function that unpacks standard input.

    Args:
        path: Absolute, where to.
        account: Who owns what is made.
        name: Of the one file that comes; None where a folder comes, to be merged.
    """

    def copy() -> None:
        os.umask(0)
        with open(0, "rb", PIECE_BYTES, closefd=False) as stream:
            with tarfile.open(mode="r|", fileobj=stream, bufsize=PIECE_BYTES) as tar:
                folder, only = _place(path, account, name)
                os.chdir(folder)
                for member in tar:
                    _unpack(tar, member, only or member.name, account)
            while stream.read(PIECE_BYTES):  # what pads it
                pass

    return copy


def _place(path: str, account: Account, name: str | None) -> tuple[str, str | None]:
    """Make the folder that a copy goes to; returns it, and what a file is called there."""
    into = name is None or path.endswith("/") or os.path.isdir(path)
    folder = path if into else os.path.dirname(path.rstrip("/"))
    try:
        with _as(account):
            os.makedirs(folder, 0o755, exist_ok=True)
    except PermissionError:  # a folder that only root may make
        _make(folder)
    except OSError as error:
        raise Refused("invalid", str(error.strerror)) from error
    return folder, name if into else name and os.path.basename(path)


def _make(folder: str) -> None:
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
    except OSError as error:
        kind = "read_only" if error.errno == errno.EROFS else "invalid"
        raise Refused(kind, str(error.strerror)) from error


@contextlib.contextmanager
def _as(account: Account) -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    before = os.getgroups()
    try:
        os.setgroups(account.groups)
        os.setegid(account.gid)
        os.seteuid(account.uid)
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(before)


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, place: str, account: Account) -> None:
    with contextlib.suppress(FileNotFoundError):
        mode = os.lstat(place).st_mode
        if stat.S_ISDIR(mode) and not member.isdir():
            shutil.rmtree(place)
        elif not (stat.S_ISDIR(mode) and member.isdir()):
            os.unlink(place)
    if member.issym():
        os.symlink(member.linkname, place)
    elif member.isdir():
        with contextlib.suppress(FileExistsError):
            os.mkdir(place)
    else:
        _write(tar, member, place)
    if os.geteuid() == 0:
        os.lchown(place, account.uid, account.gid)
    if not member.issym():
        os.chmod(place, member.mode)
        os.utime(place, (member.mtime, member.mtime))


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> None:
    content = tar.extractfile(member)
    if content is None:
        raise Refused("invalid", f"{_shown(member.name)} is neither file, folder nor link")
    try:
        with open(place, "xb") as file:
            shutil.copyfileobj(content, file, PIECE_BYTES)
    except OSError as error:
        error.filename = error.filename or place
        raise


def packer(path: str) -> Callable[[], None]:
    """Return a function that packs a file, or a folder with what it holds, to standard output."""

    def copy() -> None:
        try:
            top = os.lstat(path)
        except OSError as error:
            raise Refused("not_found", str(error.strerror)) from error
        name = os.path.basename(path.rstrip("/"))
        name = "folder" if name in ("", ".", "..") else name
        if stat.S_ISDIR(top.st_mode):  # through no link
            os.stat(path)
        with open(1, "wb", 0, closefd=False) as out:
            _pack_to(out, path, name)

    return copy


def _pack_to(out: IO[bytes], path: str, name: str) -> None:
    options: dict[str, Any] = {"format": tarfile.PAX_FORMAT, "copybufsize": PIECE_BYTES}
    with tarfile.open(mode="w|", fileobj=out, bufsize=PIECE_BYTES, **options) as tar:
        _pack(tar, path, name)


def _pack(tar: tarfile.TarFile, path: str, name: str) -> None:
    todo = [(path, name)]
    while todo:
        path, name = todo.pop()
        member = tar.gettarinfo(path, name)
        if member is None:  # a socket
            continue
        vars(tar)["members"] = []  # it would keep them all
        if not member.isreg():
            tar.addfile(member)
            if member.isdir():
                below = sorted(os.listdir(path), reverse=True)
                todo += [(os.path.join(path, each), name + "/" + each) for each in below]
            continue
        with open(path, "rb") as file:
            tar.addfile(member, file)


def _shown(path: object) -> str:
    text = os.fsdecode(path) if isinstance(path, (str, bytes)) else sys.argv[0]
    return text.encode("utf-8", "backslashreplace").decode()
