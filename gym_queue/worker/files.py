"""Files of an environment over HTTP: confined paths, and replies read from descriptors that were checked."""

from __future__ import annotations

import mimetypes
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import anyio.to_thread
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gym_queue.errors import Forbidden, PathNotFound
from gym_queue.runners.beneath import open_file

BYTES = "application/octet-stream"
CHUNK_BYTES = 256 << 10
SHOWN = 200
"""Characters of a caller's path that an error repeats."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_UNSAFE = re.compile(r"[^ !#$&+.0-9A-Z^_`a-z{}~()\[\]@=,-]")


def confine(path: str, folder: Path, *, also: Sequence[Path] = ()) -> Path:
    """Return ``path``, links resolved, when it lies in ``folder`` or in one of ``also``; relative paths start there.

    Raises:
        Forbidden: It lies elsewhere.
        PathNotFound: It is no path at all.
    """
    try:
        found = folder.joinpath(path).resolve()
        found.exists()  # resolve() takes names that are too long
    except (ValueError, OSError, RuntimeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise PathNotFound(f"{path[:SHOWN]!r} is not a path: {why}") from error
    if not any(found.is_relative_to(root.resolve()) for root in (folder, *also)):
        raise Forbidden(
            f"{path[:SHOWN]} is outside the episode folder: only its files can be copied or fetched, and by path those of "
            "folders that the worker's operator named with --allow-path"
        )
    return found


def check_copyable(path: Path) -> None:
    """See that a path to copy from is a file or a folder.

    Raises:
        PathNotFound: It does not exist.
        Forbidden: It is a device, a FIFO or a socket.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise PathNotFound(f"there is no {path} on this worker") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise Forbidden(f"{path} is neither a file nor a folder: only these can be copied")


def open_reply(path: str, folder: Path, range_header: str | None) -> FileReply:
    """Return the reply that serves a file of ``folder``.

    Args:
        path: Relative to the folder, or absolute below it. A link that stays inside is followed.
        folder: Where the file must lie.
        range_header: ``Range`` of the request; one that is not a single range of the file is passed over.

    Raises:
        Forbidden: It lies elsewhere, or became a link meanwhile.
        PathNotFound: There is no such regular file.
    """
    found, root = confine(path, folder), folder.resolve()
    return FileReply(open_file(root, found.relative_to(root)), found.name, range_header)


class FileReply(Response):
    """Sends an open file, as long as it was when it was opened, and closes it.

    Args:
        fd: The descriptor; closed once the reply is sent, or was given up.
        name: What the client may call the file.
        range_header: ``Range`` of the request.
        place: Where in the open file the one to send is, its start and size in bytes; None is all of it.
        media_type: What it is; None goes by its name.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        range_header: str | None = None,
        *,
        place: tuple[int, int] | None = None,
        media_type: str | None = None,
    ) -> None:
        self._fd = fd
        offset, size = place or (0, os.fstat(fd).st_size)
        start, end = _range_of(range_header, size) or (0, size)
        self._start, self._end = offset + start, offset + end
        is_part = (start, end) != (0, size)
        super().__init__(
            status_code=206 if is_part else 200,
            headers={
                "Content-Disposition": disposition(name),
                "Content-Length": str(end - start),
                "Accept-Ranges": "bytes",
                "X-Content-Type-Options": "nosniff",
                **({"Content-Range": f"bytes {start}-{end - 1}/{size}"} if is_part else {}),
            },
            media_type=media_type or _media_type(name),
        )

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the file."""
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            place = self._end if scope["method"] == "HEAD" else self._start
            while place < self._end:
                size = min(CHUNK_BYTES, self._end - place)
                chunk = await anyio.to_thread.run_sync(os.pread, self._fd, size, place)
                if not chunk:
                    return  # it was cut meanwhile: the server ends the connection, as the length no longer holds
                place += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": place < self._end})
            if self._start == self._end or scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            os.close(self._fd)


def disposition(name: str) -> str:
    """Return ``Content-Disposition`` for a file name of any characters (RFC 6266, RFC 8187)."""
    plain = _UNSAFE.sub("_", name)
    if plain == name:
        return f'attachment; filename="{name}"'
    exact = quote(name.encode("utf-8", "replace"), safe="")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}"


def _media_type(name: str) -> str:
    """Return what a file may be to a reader: a picture, a film or a text, and never a page or this server's JSON."""
    kind = mimetypes.guess_type(name)[0] or BYTES
    if kind.startswith("text/") or kind == "application/json":
        return "text/plain; charset=utf-8"
    return kind if kind.startswith(("image/", "video/", "audio/")) and "xml" not in kind else BYTES


def _range_of(header: str | None, size: int) -> tuple[int, int] | None:
    """Return start and end of a single range that lies in the file; None for any other."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    start, end = int(first), min(int(last) + 1 if last else size, size)
    return (start, end) if start < end else None
