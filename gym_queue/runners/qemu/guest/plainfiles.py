"""Files in and out of a guest that has tar and a POSIX shell."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from gym_queue.errors import PathNotFound, RequestInvalid, RunnerFailed
from gym_queue.runners import tarfiles
from gym_queue.runners.hostfiles import check_size
from gym_queue.runners.qemu.guest import posix
from gym_queue.runners.qemu.guest.carrier import CALL_TIMEOUT_S, COPY_TIMEOUT_S, Carrier
from gym_queue.runners.qemu.guest.protocol import GuestSetup

_MISSING_STATUS = 44
_FROM = """\
source={source}
[ -e "$source" ] || [ -L "$source" ] || exit {missing}
tar -cf - -C "$(dirname -- "$source")" -- "$(basename -- "$source")"
"""


class PlainFiles:
    """Copies to and from one guest.

    Args:
        carrier: Of the guest.
        setup: How much one copy may take, and where it is put on its way.
    """

    def __init__(self, carrier: Carrier, setup: GuestSetup) -> None:
        self._carrier, self._setup = carrier, setup

    def copy_in(self, source: Path, target: str, who: posix.Account, ways: posix.Ways) -> None:
        """Copy a file, or what a folder holds, of the host to a path inside, as somebody; see ``Guest.copy_to``."""
        if not source.exists():
            raise PathNotFound(f"there is no {source} on this host to copy into the guest")
        check_size(source, self._setup.copy_bytes)
        path = _absolute(target, who.home)
        is_folder = source.is_dir() or target.endswith("/")
        goes_into, folder = self._make_place(path, who, ways, is_folder=is_folder)
        name = "." if source.is_dir() else source.name if goes_into else PurePosixPath(path).name
        with tempfile.TemporaryFile(dir=self._setup.scratch) as packed:
            tarfiles.pack(source, name, packed, uid=who.uid, gid=who.gid)
            self._unpack(packed, folder, who, ways)

    def copy_out(self, source: str, target: Path, who: posix.Account, ways: posix.Ways) -> None:
        """Copy a file, or what a folder holds, from inside to a path of the host; see ``Guest.copy_from``."""
        path = _absolute(source, who.home)
        script = _FROM.format(source=shlex.quote(path), missing=_MISSING_STATUS)
        with tempfile.TemporaryFile(dir=self._setup.scratch) as packed:
            result = self._carrier.run(_as(ways.root or (), script), timeout_s=COPY_TIMEOUT_S, stdout=packed)
            if result.exit_status == _MISSING_STATUS:
                raise PathNotFound(f"there is no {source} in the guest")
            if result.exit_status != 0:
                raise RunnerFailed(f"{source} cannot be packed in the guest: {_last(result.output)}")
            unpack_copy(packed, target, shown=source, setup=self._setup)

    def _make_place(
        self, path: str, who: posix.Account, ways: posix.Ways, *, is_folder: bool
    ) -> tuple[bool, str]:
        """Make the folder that a copy goes to; returns whether it is the path itself, and where it is."""
        script = posix.place_script(path, is_folder=is_folder)
        result = self._carrier.run(_as(ways.become(who), script), timeout_s=CALL_TIMEOUT_S)
        if result.exit_status != 0 and ways.root is not None:  # a folder that only root may make
            result = self._carrier.run(_as(ways.root, script), timeout_s=CALL_TIMEOUT_S)
        if result.exit_status != 0:
            raise RequestInvalid(f"{path} cannot be made in the guest: {_last(result.output)}")
        how, _, folder = result.output.rpartition("\n")
        return how.endswith("into"), folder

    def _unpack(self, packed: IO[bytes], folder: str, who: posix.Account, ways: posix.Ways) -> None:
        words = ways.become(who) if ways.root is None else ways.root  # only root can give files to somebody
        packed.seek(0)
        script = f"tar -xpf - -C {shlex.quote(folder)}"
        result = self._carrier.run(_as(words, script), timeout_s=COPY_TIMEOUT_S, stdin=packed)
        if result.exit_status != 0:
            raise RequestInvalid(f"{folder} cannot be written in the guest: {_last(result.output)}")


def unpack_copy(packed: IO[bytes], target: Path, *, shown: str, setup: GuestSetup) -> None:
    """Put the tar that came out of a guest where a copy goes; see ``tarfiles.unpack_to``.

    Raises:
        RunnerFailed: It came out broken.
    """
    packed.seek(0)
    try:
        with tarfile.open(mode="r|", fileobj=packed) as tar:
            tarfiles.unpack_to(tar, target, shown=shown, limit_bytes=setup.copy_bytes, scratch=setup.scratch)
    except tarfile.TarError as error:
        raise RunnerFailed(f"{shown} came out of the guest broken: {error}") from error


def _absolute(path: str, home: str) -> str:
    if "\0" in path or not path:
        raise PathNotFound(f"{path!r} is no path inside the guest")
    if path == "~" or path.startswith("~/"):
        path = f".{path[1:]}"
    return str(PurePosixPath(home, path))


def _as(words: Sequence[str], script: str) -> str:
    return shlex.join([*words, "sh", "-c", script]) if words else script


def _last(output: str) -> str:
    return output.strip()[-500:] or "no reason given"
