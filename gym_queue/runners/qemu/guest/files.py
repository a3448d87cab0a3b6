"""Files in and out of a guest, as tar streams through its helper: nothing odd let out, and only so much on its way."""

from __future__ import annotations

import errno
import io
import json
import os
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from gym_queue.errors import Forbidden, GymQueueError, PathNotFound, RequestInvalid, RunnerFailed
from gym_queue.runners import tarfiles
from gym_queue.runners.hostfiles import check_size
from gym_queue.runners.qemu.guest.channel import Channel
from gym_queue.runners.qemu.guest.protocol import GuestSetup
from gym_queue.runners.qemu.guest.stream import Stream

STALL_TIMEOUT_S = 60.0
"""How long a copy may stand still."""
BUFFER_BYTES = 131072
_KINDS: dict[str, type[GymQueueError]] = {
    "not_found": PathNotFound,
    "invalid": RequestInvalid,
    "read_only": Forbidden,
}


class GuestFiles:
    """Copies to and from one guest.

    Args:
        channel: To its helper.
        setup: What one copy may take, and where it is put on its way.
        uid: Who owns what is copied in.
        gid: Their group.
        home: Relative paths begin here.
    """

    def __init__(self, channel: Channel, setup: GuestSetup, *, uid: int, gid: int, home: str) -> None:
        self._channel, self._setup = channel, setup
        self._uid, self._gid, self._home = uid, gid, home

    def copy_to(self, source: Path, target: str) -> None:
        """Copy into the guest; see ``Guest.copy_to``."""
        if not source.exists():
            raise PathNotFound(f"there is no {source} on this host to copy into the guest")
        check_size(source, self._setup.copy_bytes)
        name = None if source.is_dir() else source.name
        stream = self._channel.open({"call": "copy_in", "path": self._absolute(target), "name": name})
        try:
            tarfiles.pack(source, name or ".", _Writer(stream), uid=self._uid, gid=self._gid)
            stream.write_end()
            self._finish(stream, f"{source} cannot be copied to {target}")
        except OSError as error:
            raise RunnerFailed(f"{source} cannot be read: {error}") from error
        finally:
            self._drop(stream)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy out of the guest; see ``Guest.copy_from``."""
        stream = self._channel.open({"call": "copy_out", "path": self._absolute(source)})
        try:
            with (
                _on_this_host(source),
                io.BufferedReader(_Reader(stream), BUFFER_BYTES) as packed,
                tarfile.open(mode="r|", fileobj=packed, bufsize=BUFFER_BYTES) as tar,
            ):
                tarfiles.unpack_to(
                    tar,
                    target,
                    shown=source,
                    limit_bytes=self._setup.copy_bytes,
                    scratch=self._setup.scratch,
                )
            self._finish(stream, f"{source} cannot be copied from the guest")
        except tarfile.TarError as error:
            what = f"{source} cannot be copied from the guest"
            self._finish(stream, what)
            raise RunnerFailed(f"{what}: it came broken ({error})") from error
        finally:
            self._drop(stream)

    def _absolute(self, path: str) -> str:
        if "\0" in path or not path:
            raise PathNotFound(f"{path!r} is no path inside the guest")
        if path == "~" or path.startswith("~/"):
            path = f".{path[1:]}"
        slash = "/" if path.endswith("/") else ""
        return str(PurePosixPath(self._home, path)) + slash

    def _finish(self, stream: Stream, what: str) -> None:
        """See how the guest's part ended."""
        deadline = time.monotonic() + STALL_TIMEOUT_S
        while (data := stream.read(deadline)) is not None and data:  # what pads the archive
            deadline = time.monotonic() + STALL_TIMEOUT_S
        ended = stream.wait_end(deadline)
        if ended is None:
            raise RunnerFailed(f"{what}: the guest stood still for {STALL_TIMEOUT_S:g} s")
        _raise_refusal(ended, what)

    def _drop(self, stream: Stream) -> None:
        if stream.ended is None:
            stream.kill()


def _raise_refusal(ended: dict[str, Any], what: str) -> None:
    if "error" in ended:
        raise _KINDS.get(str(ended["error"]), RunnerFailed)(f"{what}: {ended.get('text')}")
    report = str(ended.get("report", ""))
    try:
        kind, text = json.loads(report) if report else (None, "")
    except ValueError:
        kind, text = "failed", report.strip()[-500:]
    if kind is not None:
        raise _KINDS.get(kind, RunnerFailed)(f"{what}: {text}")
    if ended.get("status") != 0:
        raise RunnerFailed(f"{what}: what copies inside ended with status {ended.get('status')}")


@contextmanager
def _on_this_host(source: str) -> Iterator[None]:
    """Say what failed here: no room on the disk above all."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(errno.ENOSPC) if os.strerror(errno.ENOSPC) in str(error) else str(error)
        raise RunnerFailed(f"{source} cannot be copied from the guest: {reason}") from error


class _Writer:
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def write(self, data: bytes) -> int:
        """Send all of it."""
        self._stream.write(data, timeout_s=STALL_TIMEOUT_S)
        return len(data)


class _Reader(io.RawIOBase):
    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self._stream = stream
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._held:
            data = self._stream.read(time.monotonic() + STALL_TIMEOUT_S)
            if data is None:
                raise RunnerFailed(
                    f"the guest sent nothing for {STALL_TIMEOUT_S:g} s: it hangs, or has no processor to run on"
                )
            self._held = memoryview(data)
        count = min(len(buffer), len(self._held))
        buffer[:count] = self._held[:count]
        self._held = self._held[count:]
        return count
