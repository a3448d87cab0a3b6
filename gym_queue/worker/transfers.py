"""``/envs/{id}/files``: a file's bytes, by way of a folder of the environment's own, never whole in memory."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO

import anyio.to_thread
from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gym_queue.env.transfers import FILE_MODE, make_staging, split_target
from gym_queue.errors import EnvLost, GymQueueError, RequestInvalid, RunnerFailed, TooLarge
from gym_queue.protocol.calls import PATH_CHARS
from gym_queue.runners.beneath import open_file
from gym_queue.web.bodylimit import answer_early
from gym_queue.web.errors import error_reply
from gym_queue.web.limits import is_stream
from gym_queue.worker.host import Host
from gym_queue.worker.live import LiveEnv

STAGED = "file"
"""Name of what comes out of a sandbox, on its way."""
WRITE_BYTES = 512 << 10
"""Bytes of a body that are kept before they are written."""


class Uploads:
    """Answers the PUTs of files; everything else goes to the app behind it.

    Args:
        app: What is behind it.
        host: The environments.
    """

    def __init__(self, app: ASGIApp, host: Host) -> None:
        self._app = app
        self._host = host
        self._limit = host.limits.episode_bounds.copy_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "PUT" or not is_stream(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = _Body(receive)
        try:
            size = await self._store(scope["path"].split("/")[2], scope, body)
        except GymQueueError as error:
            reply = error_reply(error, scope["request_id"])
            if body.is_done:
                await reply(scope, receive, send)
            else:
                reply.headers["Connection"] = "close"
                await answer_early(reply, scope, receive, send)
            return
        if size is not None:
            await JSONResponse({"status": "copied", "size_bytes": size})(scope, receive, send)

    async def _store(self, env_id: str, scope: Scope, body: _Body) -> int | None:
        """Store a file and return its size in bytes; None when its client went away before the end of it."""
        path = _path_of(scope)
        _, name = split_target(path)
        env = self._host.use(env_id)
        length = Headers(scope=scope).get("content-length", "")
        if length.isdecimal():
            self._check(env.incoming_bytes + int(length[:20]))
        async with _staging(env) as folder:
            size = await self._receive(env, folder / name, body)
            if size is not None:
                await self._host.call(env_id, "put_file", {"staged": str(folder), "path": path})
        return size

    async def _receive(self, env: LiveEnv, target: Path, body: _Body) -> int | None:
        """Write the body to a new file and return its size; None when its client went away."""
        size, held = 0, bytearray()
        with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb", 0) as file:
            os.fchmod(file.fileno(), FILE_MODE)
            try:
                while not body.is_done:
                    part = await body.next()
                    if part is None:
                        return None
                    size += len(part)
                    env.incoming_bytes += len(part)
                    self._check(env.incoming_bytes)
                    held += part
                    if len(held) >= WRITE_BYTES or body.is_done:
                        await anyio.to_thread.run_sync(_write, file, bytes(held))
                        held.clear()
                        self._host.use(env.env_id)
            finally:
                env.incoming_bytes -= size
        return size

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise TooLarge(
                f"the file, with what else comes in for this environment, is larger than the {self._limit:,} bytes that a copy may take: send parts",
                {"max_bytes": self._limit},
            )


async def take_out(host: Host, env_id: str, path: str) -> int:
    """Copy a file out of a sandbox and return its descriptor; what it is read from has no name any more.

    Raises:
        PathNotFound, Forbidden, NotSupported: There is no such file, it is not to be read, or it is a folder.
        EnvNotFound, EnvLost, EnvState: There is no sandbox.
    """
    async with _staging(host.use(env_id)) as folder:
        target = folder / STAGED
        await host.call(env_id, "get_file", {"path": path, "target": str(target)})
        return await anyio.to_thread.run_sync(open_file, folder, Path(STAGED))


class _Body:
    """A request's body, part by part."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.is_done = False

    async def next(self) -> bytes | None:
        """Return the next part, None when the client has gone."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.is_done = True
            return None
        self.is_done = not message.get("more_body", False)
        part: bytes = message.get("body", b"")
        return part


@asynccontextmanager
async def _staging(env: LiveEnv) -> AsyncIterator[Path]:
    folder = await _make_folder(env)
    try:
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, folder, True)  # noqa: FBT003  a foreign signature


async def _make_folder(env: LiveEnv) -> Path:
    try:
        return await anyio.to_thread.run_sync(make_staging, env.work_dir)
    except FileNotFoundError as error:
        raise EnvLost(
            f"environment {env.env_id} was closed meanwhile: create a new one", {"env_id": env.env_id}
        ) from error
    except OSError as error:
        raise RunnerFailed(f"the worker cannot keep the file: {error.strerror or error}") from error


def _path_of(scope: Scope) -> str:
    path = QueryParams(scope["query_string"]).get("path")
    if path is None or len(path) > PATH_CHARS:
        raise RequestInvalid(
            f"query.path: name the file inside, in at most {PATH_CHARS} characters: PUT ..?path=notes.txt",
            {"key": "query.path"},
        )
    return path


def _write(file: IO[bytes], data: bytes) -> None:
    """Write all of it.

    Raises:
        RunnerFailed: The disk is full, or fails.
    """
    view = memoryview(data)
    try:
        while view:
            view = view[file.write(view) :]
    except OSError as error:
        why = os.strerror(error.errno or errno.EIO)
        raise RunnerFailed(f"the worker cannot keep the file: {why}") from error
