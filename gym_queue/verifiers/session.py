"""A conversation with an author's function, in a process of its own: asked once by verifiers, often by rewards."""

from __future__ import annotations

import json
import signal
import socket
import time
from contextlib import suppress
from types import TracebackType
from typing import Any

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.base import VerifierRequest, plain_text
from gym_queue.verifiers.calls import SandboxCalls
from gym_queue.verifiers.folder import VerifierFolder
from gym_queue.verifiers.process import VerifierProcess

EXIT_TIMEOUT_S = 2.0
LINE_LIMIT = 16 << 20
"""Longest message that the process may send, in bytes."""


class ProgramSession:
    """The process and what it is asked. A context manager; ``ask`` that fails ends it as well.

    The process asks for the sandbox (exec_capture, copy_from_env, copy_to_env) over a socket and this one, which owns
    the runner, answers. The last of its output is kept in the episode's folder.

    Args:
        request: The episode.
        program: The function: ``verifier.py::function`` or ``module:function``.
        role: What it is to the task, for errors and the name of the log: ``verifier``.

    Raises:
        VerifierFailed: It cannot be started.
    """

    def __init__(self, request: VerifierRequest, program: str, *, role: str) -> None:
        self._request = request
        self._role = role
        self._where = f"the {role} {program} of task {request.task.id}"
        self._folder = VerifierFolder(request)
        self._closed = False
        try:
            self._folder.__enter__()
            try:
                self._start()
            except BaseException:
                self._folder.remove()
                raise
        except OSError as error:
            raise VerifierFailed(f"{self._where} cannot be run: {error}") from error
        self.calls = SandboxCalls(request, self._folder)

    def _start(self) -> None:
        self._channel, theirs = socket.socketpair()
        try:
            self._process = VerifierProcess(theirs, self._folder.plan(), self._request.env_id)
        except BaseException:
            self._channel.close()
            raise
        self._lines = self._channel.makefile("rb")

    def __enter__(self) -> ProgramSession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def ask(self, message: dict[str, Any], *, timeout_s: float) -> Any:
        """Send a message and return the function's result, doing what the process asks meanwhile.

        Raises:
            VerifierFailed: It raised, exited, or was killed as it took longer than ``timeout_s``.
        """
        try:
            return self._converse(message, time.monotonic() + timeout_s)
        except TimeoutError:
            self.close()
            raise VerifierFailed(
                f"{self._where} ran longer than its {timeout_s:g} s and was killed"
            ) from None
        except (OSError, ValueError) as error:  # ValueError: another thread has closed it meanwhile
            self.close()
            raise VerifierFailed(f"{self._where} cannot be run: {error}") from error
        except VerifierFailed as error:
            self.close()
            tail = self._process.tail()
            raise VerifierFailed(f"{error}{'; its output ends: ' + tail if tail else ''}") from error

    def show(self, path: str) -> None:
        """Let the process see a file that its folder was made before.

        Raises:
            VerifierFailed: It cannot be copied.
        """
        try:
            self._folder.show(path)
        except OSError as error:
            raise VerifierFailed(f"{self._where} cannot be shown {path}: {error}") from error

    def close(self) -> None:
        """End the process and all that it started, and keep its output. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self._process.end()
            self._lines.close()
            self._channel.close()
            log = self._request.episode_dir / f"{self._role}.log"
            if self._request.episode_dir.is_dir():
                log.write_bytes(self._process.output())
        finally:
            self._folder.remove()

    def _converse(self, message: dict[str, Any], deadline: float) -> Any:
        if self._closed:
            raise VerifierFailed(f"{self._where} has ended: reset to start it again")
        self._send(self._folder.seen(message), deadline)
        while True:
            said = self._read(deadline)
            if "failed" in said:
                raise VerifierFailed(f"{self._where} raised {plain_text(str(said['failed'])):.2000}")
            if "result" in said:
                return said["result"]
            self._send(self.calls.answer(said, timeout_s=_left_s(deadline)), deadline)

    def _read(self, deadline: float) -> dict[str, Any]:
        """Return the process's next message; its author's code may have written anything into the socket."""
        self._channel.settimeout(_left_s(deadline))
        try:
            line = self._lines.readline(LINE_LIMIT)
        except ConnectionResetError:
            line = b""
        if len(line) == LINE_LIMIT:
            raise VerifierFailed(f"{self._where} returned more than {LINE_LIMIT >> 20} MB: return less")
        if not line.endswith(b"\n"):
            raise VerifierFailed(f"{self._where} exited before it returned a verdict ({self._status()})")
        try:
            said = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise VerifierFailed(f"{self._where} sent what cannot be read: {error}") from error
        if not isinstance(said, dict):
            raise VerifierFailed(f"{self._where} sent what is no message")
        return said

    def _send(self, message: dict[str, Any], deadline: float) -> None:
        self._channel.settimeout(_left_s(deadline))
        with suppress(BrokenPipeError, ConnectionResetError):  # the read that follows says that it has gone
            self._channel.sendall(json.dumps(message, default=str).encode() + b"\n")

    def _status(self) -> str:
        status = self._process.wait(EXIT_TIMEOUT_S)
        return "it used more CPU time than it may" if status == -signal.SIGXCPU else f"status {status}"


def _left_s(deadline: float) -> float:
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s
