"""People who watch a machine: QEMU's RFB server, behind sockets that let through what a viewer may do."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.display.viewer import connect_viewer
from gym_queue.runners.qemu.screen.rfb import CHUNK_BYTES, NUDGE, UnknownMessage, ViewerFilter

logger = logging.getLogger(__name__)

NUDGE_S = 0.1
"""How often QEMU is reminded that somebody watches."""
LAST_WORDS_S = 1.0
CONNECT_TIMEOUT_S, RETRY_S = 5.0, 0.01
MAX_VIEWERS = 16
"""At once."""


class VmViewers:
    """Up to two sockets of one machine's screen: one that takes no input, whatever it is sent, and one that takes it.

    Their viewers are served by a thread of their own, started with the first socket.

    Args:
        vnc_socket: Of QEMU's RFB server, which asks for a password itself if it has one.
        folder: Where the sockets are made; nobody else may write there.
    """

    def __init__(self, vnc_socket: Path, folder: Path) -> None:
        self._vnc, self._folder = vnc_socket, folder
        self._lock = threading.Lock()
        self._paths: dict[bool, Path] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closed = False
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, *, control: bool) -> Path:
        """Return the socket that viewers connect to.

        Args:
            control: Whether their mice and keyboards act.

        Raises:
            RunnerFailed: QEMU's server does not answer, or this was closed.
        """
        with self._lock:
            if self._is_closed:
                raise RunnerFailed("the environment was closed: create a new one")
            try:
                _check_listens(self._vnc)
                if control not in self._paths:
                    self._paths[control] = self._serve(control=control)
            except OSError as error:
                raise RunnerFailed(
                    f"the virtual machine's screen cannot be shown ({error}): reset the environment"
                ) from error
            return self._paths[control]

    def close(self) -> None:
        """Hang up on all viewers. Safe to call twice, and from another thread."""
        with self._lock:
            self._is_closed = True
            loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join()
            for path in self._paths.values():
                path.unlink(missing_ok=True)

    def _serve(self, *, control: bool) -> Path:
        path = self._folder / f"{'control' if control else 'view'}-{secrets.token_hex(4)}"
        listening = _listen(path)
        loop = self._start_thread()
        loop.call_soon_threadsafe(lambda: self._begin(self._accept(listening, control=control)))
        return path

    def _start_thread(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=[self._loop], name="viewers", daemon=True)
            self._thread.start()
        return self._loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve until the loop is stopped, then hang up."""
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            for task in self._tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        finally:
            loop.close()

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listening: socket.socket, *, control: bool) -> None:
        loop = asyncio.get_running_loop()
        with listening:
            while True:
                viewer, _ = await loop.sock_accept(listening)
                if len(self._tasks) > MAX_VIEWERS:
                    viewer.close()
                else:
                    self._begin(self._relay(viewer, control=control))

    async def _relay(self, viewer: socket.socket, *, control: bool) -> None:
        """Serve one viewer until it or QEMU hangs up."""
        reader, writer = await asyncio.open_unix_connection(sock=viewer)
        server: asyncio.StreamWriter | None = None
        ways: list[asyncio.Task[None]] = []
        try:
            said, server = await asyncio.open_unix_connection(sock=await _connect(self._vnc))
            ways = [
                asyncio.ensure_future(_hand_on(said, writer)),
                asyncio.ensure_future(_filter(reader, server, ViewerFilter(control=control))),
            ]
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        except (OSError, UnknownMessage) as error:
            logger.info("a viewer of the screen was hung up on: %s", error)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            await asyncio.gather(*(_hang_up(each) for each in (writer, server) if each is not None))


def _check_listens(path: Path) -> None:
    with suppress(BlockingIOError):  # it does, and has others to welcome first
        connect_viewer(path).close()


async def _connect(path: Path) -> socket.socket:
    """Connect to QEMU's server, which lets one caller wait at a time and turns others away."""
    deadline = asyncio.get_running_loop().time() + CONNECT_TIMEOUT_S
    while True:
        try:
            return connect_viewer(path)
        except BlockingIOError:
            if asyncio.get_running_loop().time() > deadline:
                raise
        await asyncio.sleep(RETRY_S)


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    """Close a connection, once what was written has been read or nobody reads it."""
    writer.close()
    closed = asyncio.ensure_future(writer.wait_closed())
    await asyncio.wait([closed], timeout=LAST_WORDS_S)
    writer.transport.abort()
    await asyncio.gather(closed, return_exceptions=True)


async def _hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(data)
        await writer.drain()


async def _filter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: ViewerFilter) -> None:
    clock = asyncio.get_running_loop().time
    nudged_at = clock()
    while True:
        try:
            async with asyncio.timeout_at(nudged_at + NUDGE_S):
                data = await reader.read(CHUNK_BYTES)
        except TimeoutError:
            nudged_at = clock()
            writer.write(NUDGE if gate.is_open else b"")
        else:
            if not data:
                return
            writer.write(gate.feed(data))
        await writer.drain()


def _listen(path: Path) -> socket.socket:
    """Return a socket that listens at a path, which may be longer than an address holds."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listening = socket.socket(socket.AF_UNIX)
    try:
        listening.bind(f"/proc/self/fd/{folder}/{path.name}")
        path.chmod(0o600)
        listening.listen()
        listening.settimeout(0)
    except BaseException:
        listening.close()
        raise
    finally:
        os.close(folder)
    return listening
