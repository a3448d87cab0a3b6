"""The QEMU guest agent (qemu-ga): JSON over a virtio-serial port, one call at a time.

It is slow (two calls and a program's start for each command), so it carries our own helper in and then rests; guests that
the helper cannot run in are driven by it alone.
Source: https://www.qemu.org/docs/master/interop/qemu-ga-ref.html.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gym_queue.errors import EnvTimeout, RunnerFailed
from gym_queue.runners.base import ExecResult

logger = logging.getLogger(__name__)

CHUNK_BYTES = 196608
"""Of a file, in one call."""
CALL_TIMEOUT_S = 60.0
ASK_AGAIN_S, RETRY_S = 1.0, 0.05
FIRST_POLL_S, LAST_POLL_S = 0.005, 0.25
MAX_ANSWER_BYTES = 1 << 27
_SENTINEL = b"\xff"
_CLOSED = "the environment was closed: create a new one"


class AgentRefused(RunnerFailed):
    """The agent answered a call with an error."""


class GuestAgent:
    """The agent of one guest. Calls may come from several threads; they wait for one another.

    Args:
        path: The unix socket that QEMU gives its port.
        explain_end: Returns why the machine is gone, or None while it runs.
    """

    def __init__(self, path: Path, explain_end: Callable[[], RunnerFailed | None]) -> None:
        self._path, self._explain_end = path, explain_end
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._held = bytearray()
        self._is_closed = False
        self._number = secrets.randbits(31)

    def wait(self, *, deadline_s: float) -> None:
        """Return once the agent answers: the guest has booted so far.

        Raises:
            RunnerFailed: It did not within ``deadline_s`` seconds, or the machine ended.
        """
        deadline = time.monotonic() + deadline_s
        while True:
            with self._lock:
                try:
                    self._sync(min(deadline, time.monotonic() + ASK_AGAIN_S))
                    return
                except TimeoutError:
                    logger.debug("the guest's agent does not answer yet")
                except OSError:
                    self._hang_up()
            self._check_open()
            if time.monotonic() > deadline:
                raise RunnerFailed(
                    f"the guest's agent did not answer within {deadline_s:g} s: it has not booted, or runs no qemu-guest-agent"
                )
            time.sleep(RETRY_S)

    def call(self, command: str, *, timeout_s: float = CALL_TIMEOUT_S, **arguments: Any) -> Any:
        """Return what the agent answers.

        Args:
            command: As QEMU names it: ``guest-ping``.
            timeout_s: Seconds it may take; the next call begins anew then.
            **arguments: Of the command; names with a dash by ``**{"buf-b64": ..}``.

        Raises:
            AgentRefused: It answered with an error.
            RunnerFailed: It hangs, has ended, or the machine has.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            try:
                if self._socket is None:
                    self._sync(deadline)
                answer = self._ask(command, arguments, deadline)
            except OSError as error:
                self._hang_up()
                self._check_open()
                raise RunnerFailed(
                    f"the guest's agent does not answer {command} ({error or 'it hung up'}): it hangs, or something inside ended it"
                ) from error
        if "error" in answer:
            refusal = answer["error"]
            reason = refusal.get("desc", refusal) if isinstance(refusal, dict) else refusal
            raise AgentRefused(f"the guest's agent refuses {command}: {reason}")
        return answer.get("return")

    def run(self, argv: Sequence[str], *, timeout_s: float, captures: bool = True) -> ExecResult:
        """Run a program to its end.

        Args:
            argv: It, by its path, and its arguments.
            timeout_s: Seconds it may take.
            captures: Whether its output is wanted; it then ends when nothing holds that any more.

        Raises:
            EnvTimeout: It took longer; it was asked to end if the guest has ``kill``.
            RunnerFailed: The agent is gone, or cannot start it.
        """
        deadline = time.monotonic() + timeout_s
        asked: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": captures}
        pid = self._ask_for("pid", "guest-exec", timeout_s=timeout_s, **asked)["pid"]
        pause_s = FIRST_POLL_S
        while not (status := self._ask_for("exited", "guest-exec-status", pid=pid))["exited"]:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise EnvTimeout(f"{argv[0]} ran longer than {timeout_s:g} s in the guest, and may still run")
            time.sleep(min(pause_s, left_s))
            pause_s = min(2 * pause_s, LAST_POLL_S)
        return _result(status)

    def write_file(self, path: str, content: bytes, *, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Make a file, or write over one.

        Raises:
            RunnerFailed: It cannot be written, or not within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        handle = self.call("guest-file-open", path=path, mode="wb")
        try:
            while content:
                self._check_time(deadline, path)
                piece: dict[str, Any] = {"buf-b64": base64.b64encode(content[:CHUNK_BYTES]).decode()}
                written = self._ask_for("count", "guest-file-write", handle=handle, **piece)["count"]
                content = content[written:]
        finally:
            self.call("guest-file-close", handle=handle)

    def read_file(self, path: str, *, limit_bytes: int, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """Return what a file holds, up to a limit.

        Raises:
            RunnerFailed: It cannot be read, or not within ``timeout_s`` seconds.
        """
        deadline = time.monotonic() + timeout_s
        handle = self.call("guest-file-open", path=path, mode="rb")
        found = bytearray()
        try:
            while len(found) < limit_bytes:
                self._check_time(deadline, path)
                count = min(CHUNK_BYTES, limit_bytes - len(found))
                answer = self._ask_for("buf-b64", "guest-file-read", handle=handle, count=count)
                found += base64.b64decode(answer["buf-b64"])
                if answer.get("eof") or not answer.get("count"):
                    break
        finally:
            self.call("guest-file-close", handle=handle)
        return bytes(found)

    def set_time(self, unix_s: float) -> None:
        """Set the guest's clock."""
        self.call("guest-set-time", time=int(unix_s * 1e9))

    def close(self) -> None:
        """Hang up: calls fail. Safe to call twice, and from any thread."""
        self._is_closed = True
        if (connection := self._socket) is not None:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it was hung up already
        with self._lock:
            self._hang_up()

    def _ask_for(
        self, key: str, command: str, *, timeout_s: float = CALL_TIMEOUT_S, **arguments: Any
    ) -> dict[str, Any]:
        """Return an answer that must hold a key."""
        answer = self.call(command, timeout_s=timeout_s, **arguments)
        if not isinstance(answer, dict) or key not in answer:
            raise RunnerFailed(
                f"the guest's agent answered {command} with something else: it is no qemu-guest-agent"
            )
        return answer

    def _sync(self, deadline: float) -> None:
        """Connect, and drop what older talks left on both sides: a number of our own comes back behind a byte no JSON has."""
        self._check_open()
        if self._socket is None:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(_left(deadline))
                connection.connect(str(self._path))
            except BaseException:
                connection.close()
                raise
            self._socket = connection
        # Each its own: what was asked before is answered too, with a complaint about the byte before it.
        self._number += 1
        asked = {"execute": "guest-sync-delimited", "arguments": {"id": self._number}}
        self._send(_SENTINEL + json.dumps(asked).encode() + b"\n", deadline)
        while True:
            *_, last = self._read_line(deadline).rpartition(_SENTINEL)
            if _parsed(last).get("return") == self._number:
                return

    def _ask(self, command: str, arguments: dict[str, Any], deadline: float) -> dict[str, Any]:
        self._send(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n", deadline)
        while True:
            line = self._read_line(deadline)
            if _SENTINEL in line:  # what was asked twice is answered twice
                continue
            answer = _parsed(line)
            if "return" in answer or "error" in answer:
                return answer

    def _send(self, data: bytes, deadline: float) -> None:
        assert self._socket is not None  # noqa: S101  _sync made it
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(data)

    def _read_line(self, deadline: float) -> bytes:
        assert self._socket is not None  # noqa: S101  _sync made it
        searched = 0
        while (end := self._held.find(b"\n", searched)) < 0:
            searched = len(self._held)
            self._socket.settimeout(_left(deadline))
            data = self._socket.recv(1 << 18)
            if not data or searched > MAX_ANSWER_BYTES:
                raise ConnectionError("it hung up")
            self._held += data
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line

    def _hang_up(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._held.clear()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RunnerFailed(_CLOSED)
        if (ended := self._explain_end()) is not None:
            raise ended

    def _check_time(self, deadline: float, path: str) -> None:
        if time.monotonic() > deadline:
            raise RunnerFailed(f"{path} took too long to go through the guest's agent: the guest is too busy")


def _left(deadline: float) -> float:
    """Return the seconds left; raises when none are."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("it took too long")
    return left_s


def _parsed(line: bytes) -> dict[str, Any]:
    """Return an answer; what is none, of an older talk say, counts as empty."""
    try:
        answer = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}


def _result(status: dict[str, Any]) -> ExecResult:
    """Return how a program ended: its output, then its errors, for the agent keeps the two apart."""
    data, note = b"", ""
    for key in ("out", "err"):
        try:
            data += base64.b64decode(status.get(f"{key}-data", ""))
        except binascii.Error as error:
            raise RunnerFailed(f"the guest's agent sent output that is no base64: {error}") from error
        if status.get(f"{key}-truncated"):
            note = "[the agent dropped the output after this]\n"
    code = 128 + status["signal"] if status.get("signal") else status.get("exitcode", 0)
    return ExecResult(code, data.decode(errors="replace") + note)
