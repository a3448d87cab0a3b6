"""The worker's side of its env processes: starting them, calling into them, killing them."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import weakref
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from gym_queue.errors import EnvLost, EnvTimeout, RunnerFailed, StartupFailed, from_wire
from gym_queue.log import LogSetup
from gym_queue.worker.cleanup import kill_trees, remove_env, remove_tree
from gym_queue.worker.ipc import FrameReader, pack, read_frame
from gym_queue.worker.putaway import KeepRule, put_all_away

logger = logging.getLogger(__name__)

SPAWN_TIMEOUT_S = 30.0
CLEANUP_TIMEOUT_S = 20.0
MAX_SOCKET_PATH_BYTES = 100
"""unix(7): 108 bytes with the ending NUL on Linux, 104 on macOS."""


class EnvProcess(asyncio.Protocol):
    """One environment's process, as its worker sees it; takes over the connection that the process made.

    Args:
        env_id: The environment.
        pid: The process.
        writer: The connection, its hello read.
        exited: Resolved by the fork server once the process is gone and its leftovers are removed.
    """

    def __init__(
        self, env_id: str, pid: int, writer: asyncio.StreamWriter, exited: asyncio.Future[int]
    ) -> None:
        self.env_id = env_id
        self.pid = pid
        self.exited = exited
        self.eye: asyncio.Future[EnvProcess] = exited.get_loop().create_future()
        """Its second connection, for those who look while a call runs; it comes once the environment is open."""
        self._writer = writer  # closes its transport when it is collected
        self._transport = writer.transport
        self._frames = FrameReader()
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._next_id = 0
        self._gone = False
        self._transport.set_protocol(self)

    async def call(self, operation: str, arguments: dict[str, Any] | None = None, *, timeout_s: float) -> Any:
        """Run one operation in the process and return its reply.

        Raises:
            GymQueueError: What the operation raised there, as the same class.
            EnvTimeout: No reply in time; the caller decides what becomes of the process.
            EnvLost: The process died.
        """
        if self._gone:
            raise self._lost()
        self._next_id += 1
        call_id = self._next_id
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._calls[call_id] = answer
        timer = loop.call_later(timeout_s, self._time_out, answer, operation, timeout_s)
        try:
            self._transport.write(pack([call_id, operation, arguments or {}]))
            return await answer
        finally:
            timer.cancel()
            del self._calls[call_id]

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended."""
        return self._gone

    def disconnect(self) -> None:
        """Close the connection: the process ends itself when it can."""
        self._transport.abort()  # close() would wait until a hung process has read all
        self._fail_calls()

    def data_received(self, data: bytes) -> None:
        """Take replies."""
        try:
            replies = self._frames.take(data)
        except EOFError:
            self.disconnect()
            return
        for call_id, ok, payload in replies:
            answer = self._calls.get(call_id)
            if answer is None or answer.done():
                continue
            if ok:
                answer.set_result(payload)
            else:
                answer.set_exception(from_wire(500, payload))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """The process has gone."""
        self._fail_calls()

    def _time_out(self, answer: asyncio.Future[Any], operation: str, timeout_s: float) -> None:
        if not answer.done():
            answer.set_exception(
                EnvTimeout(
                    f"{operation} in environment {self.env_id} took longer than {timeout_s:g} s; the environment was ended",
                    {"env_id": self.env_id},
                )
            )

    def _fail_calls(self) -> None:
        self._gone = True
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(self._lost())

    def _lost(self) -> EnvLost:
        return EnvLost(
            f"the process of environment {self.env_id} died: create a new environment",
            {"env_id": self.env_id},
        )


class EnvProcesses:
    """Starts env processes through the fork server, and knows when each is gone for good.

    Args:
        work_dir: The worker's private folder, with a short path: the unix socket is in it.
        runners: What the environments may run on; imported once, before the processes are forked.
        log: How the processes log.
        keep: Where episodes go; None keeps none.
    """

    def __init__(
        self,
        work_dir: Path,
        runners: Sequence[str],
        *,
        log: LogSetup | None = None,
        keep: KeepRule | None = None,
    ) -> None:
        self._work_dir, self._keep = work_dir, keep
        self._runners = list(runners)
        self._log = log or LogSetup()
        self._socket_path = str(work_dir / "env.sock")
        self._server: asyncio.Server | None = None
        self._popen: subprocess.Popen[bytes] | None = None
        self._control: asyncio.Future[asyncio.StreamWriter] | None = None
        self._starting = asyncio.Lock()
        self._stopping = False
        self._arriving: dict[str, asyncio.Future[EnvProcess]] = {}
        self._exits: dict[str, asyncio.Future[int]] = {}
        self._connected: dict[str, psutil.Process] = {}
        self._writers: weakref.WeakSet[asyncio.StreamWriter] = weakref.WeakSet()
        self._processes: weakref.WeakValueDictionary[str, EnvProcess] = weakref.WeakValueDictionary()

    async def start(self) -> None:
        """Make the work folder and start the fork server.

        Raises:
            StartupFailed: The folder cannot be made or listened in.
            RunnerFailed: The fork server did not come up in time.
        """
        size = len(os.fsencode(self._socket_path))
        if size > MAX_SOCKET_PATH_BYTES:
            raise StartupFailed(
                f"the path {self._socket_path} has {size} bytes, and a unix socket's at most {MAX_SOCKET_PATH_BYTES}: set TMPDIR to a shorter folder"
            )
        try:
            self._work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._server = await asyncio.start_unix_server(self._on_connection, self._socket_path)
        except OSError as error:
            raise StartupFailed(
                f"the worker cannot listen in {self._work_dir}: {error.strerror or error}; set TMPDIR to a folder that it can write"
            ) from error
        await self._need_fork_server()

    async def spawn(self, env_id: str) -> EnvProcess:
        """Fork a process for an environment.

        Raises:
            RunnerFailed: It did not come up, or there is no fork server to be had.
        """
        await self._need_fork_server()
        loop = asyncio.get_running_loop()
        arriving: asyncio.Future[EnvProcess] = loop.create_future()
        self._arriving[env_id] = arriving
        self._exits[env_id] = loop.create_future()
        try:
            await self._tell({"do": "spawn", "env_id": env_id})
            async with asyncio.timeout(SPAWN_TIMEOUT_S):
                return await arriving
        except TimeoutError:
            await self.kill(env_id)
            raise RunnerFailed(
                f"the process of environment {env_id} did not start within {SPAWN_TIMEOUT_S:g} s"
            ) from None
        finally:
            self._arriving.pop(env_id, None)

    async def kill(self, env_id: str) -> None:
        """Kill an environment's process; its leftovers are removed by the fork server."""
        if env_id in self._exits:
            await self._tell({"do": "kill", "env_id": env_id})

    async def nudge(self, env_id: str) -> None:
        """Make a process that is in the middle of a call read what was sent to it since: a close."""
        if env_id in self._exits:
            await self._tell({"do": "nudge", "env_id": env_id})

    async def wait_gone(self, env_id: str) -> None:
        """Wait until an environment's process has ended and what it left is removed."""
        if (exited := self._exits.get(env_id)) is not None:
            await asyncio.shield(exited)

    async def stop(self) -> None:
        """End the fork server, and with it every process and the whole work folder."""
        self._stopping = True
        if self._control is not None and self._control.done():
            self._control.result().close()
        if self._server is not None:
            self._server.close()
        if self._popen is not None:
            try:
                await asyncio.to_thread(self._popen.wait, CLEANUP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                logger.error("the fork server did not end within %s s and was killed", CLEANUP_TIMEOUT_S)
                self._popen.kill()
                self._popen.wait()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.to_thread(remove_tree, self._work_dir)

    async def _need_fork_server(self) -> None:
        """Start a fork server when there is none, or the last one was killed."""
        async with self._starting:
            if self._stopping:
                raise RunnerFailed("the worker is shutting down: ask the master for another")
            if self._popen is None or self._popen.poll() is not None:
                await self._start_fork_server()

    async def _start_fork_server(self) -> None:
        control = self._control = asyncio.get_running_loop().create_future()
        options = {
            "socket": self._socket_path,
            "work_dir": str(self._work_dir),
            "log": asdict(self._log),
            "runners": self._runners,
            "keep": self._keep.dump() if self._keep else None,
        }
        popen = self._popen = subprocess.Popen(  # noqa: ASYNC220  returns once the process is forked
            [sys.executable, "-m", "gym_queue.worker.forkserver", json.dumps(options)],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # a fork needs a single-threaded parent
            start_new_session=True,  # a terminal's Ctrl-C is the worker's to handle
        )
        try:
            async with asyncio.timeout(SPAWN_TIMEOUT_S):
                while not (await asyncio.wait({control}, timeout=0.1))[0]:
                    if popen.poll() is not None:
                        raise RunnerFailed(
                            f"the fork server ended with status {popen.returncode}: see its log above"
                        )
        except TimeoutError:
            popen.kill()
            raise RunnerFailed(
                f"the fork server did not start within {SPAWN_TIMEOUT_S:g} s: see its log above"
            ) from None

    async def _tell(self, message: dict[str, str]) -> None:
        if self._control is None or not self._control.done() or self._control.result().is_closing():
            raise RunnerFailed("the worker's fork server has gone: try again, it is started anew")
        writer = self._control.result()
        try:
            writer.write(pack(message))
            await writer.drain()
        except OSError as error:
            raise RunnerFailed("the worker's fork server has gone: try again, it is started anew") from error

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            hello = await read_frame(reader)
        except EOFError:
            writer.close()
            return
        if "forkserver" in hello:
            if self._control is not None and not self._control.done():
                self._control.set_result(writer)
            await self._hear_exits(reader, writer)
            return
        if "eye" in hello:
            self._on_eye(hello["eye"], writer)
            return
        self._on_env(hello["env_id"], hello["pid"], writer)

    def _on_env(self, env_id: str, pid: int, writer: asyncio.StreamWriter) -> None:
        arriving = self._arriving.get(env_id)
        if arriving is None or arriving.done():
            writer.close()
            return
        with suppress(psutil.NoSuchProcess):
            self._connected[env_id] = psutil.Process(pid)
        process = self._processes[env_id] = EnvProcess(env_id, pid, writer, self._exits[env_id])
        arriving.set_result(process)

    def _on_eye(self, env_id: str, writer: asyncio.StreamWriter) -> None:
        process = self._processes.get(env_id)
        if process is None or process.eye.done():
            writer.close()
            return
        process.eye.set_result(EnvProcess(env_id, process.pid, writer, process.exited))

    async def _hear_exits(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await read_frame(reader)
                self._on_exit(message["env_id"], message["status"])
        except EOFError:
            writer.close()
            await self._bury_all()

    async def _bury_all(self) -> None:
        """Do what is left of the fork server's work when it has gone; nobody else would reap its environments."""
        orphans = list(self._exits)
        if orphans and not self._stopping:
            logger.error("the fork server has gone: its %s environments are ended", len(orphans))
            kill_trees(self._connected[env_id] for env_id in orphans if env_id in self._connected)
        for env_id in orphans:
            if not self._stopping:
                await asyncio.to_thread(
                    remove_env,
                    env_id,
                    self._work_dir / "envs" / env_id,
                    partial(put_all_away, rule=self._keep),
                )
            self._on_exit(env_id, -1)

    def _on_exit(self, env_id: str, status: int) -> None:
        self._connected.pop(env_id, None)
        exited = self._exits.pop(env_id, None)
        if exited is not None and not exited.done():
            exited.set_result(status)
        arriving = self._arriving.get(env_id)
        if arriving is not None and not arriving.done():
            arriving.set_exception(
                RunnerFailed(
                    f"the process of environment {env_id} ended with status {status} before it served"
                )
            )
