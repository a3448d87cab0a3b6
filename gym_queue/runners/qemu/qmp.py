"""QEMU's monitor, spoken by one thread at a time.

Source: QEMU Machine Protocol specification (docs/interop/qmp-spec.rst of QEMU; https://www.qemu.org/docs/master/interop/qmp-spec.html).
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from gym_queue.errors import RunnerFailed
from gym_queue.runners.display.connection import connect_to

ASK_TIMEOUT_S = 10.0
RETRY_S = 0.01
MAX_EVENTS = 1000
"""Read in one go: what is inside may cause more without end."""
MAX_LINE_BYTES = 4 << 20
"""Longer than any answer to what is asked here; QEMU that says more is not QEMU any more."""


class QmpRefused(RunnerFailed):
    """QEMU answered a command with an error."""


class Qmp:
    """A connection to one monitor. Calls may come from several threads; one is served after the other.

    Args:
        path: The monitor's unix socket; something listens there already (``Qmp.wait_for`` waits until it does).
        explain_end: Returns why the machine is gone, or None when nobody knows; asked when the monitor hangs up.

    Raises:
        OSError: Nothing listens there.
        RunnerFailed: What does is no monitor, or hangs up.
    """

    def __init__(self, path: Path, *, explain_end: Callable[[], RunnerFailed | None] = lambda: None) -> None:
        self._explain_end = explain_end
        self._lock = threading.Lock()
        self._ids = itertools.count(1)
        self._buffer = bytearray()
        self._events: dict[str, dict[str, Any]] = {}
        self._is_closed = False
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(ASK_TIMEOUT_S)
            connect_to(self._socket, path)
            self._greet(time.monotonic() + ASK_TIMEOUT_S)
            self.ask("qmp_capabilities")
        except BaseException:
            self._socket.close()
            raise

    @classmethod
    def wait_for(
        cls,
        path: Path,
        *,
        deadline_s: float,
        check_alive: Callable[[], None],
        explain_end: Callable[[], RunnerFailed | None] = lambda: None,
    ) -> Qmp:
        """Connect to a monitor that may still be starting.

        Args:
            path: As above.
            deadline_s: How long to try, in seconds.
            check_alive: Called between two tries; what it raises ends them.
            explain_end: As above.

        Raises:
            RunnerFailed: None answers in time.
        """
        end = time.monotonic() + deadline_s
        while True:
            try:
                return cls(path, explain_end=explain_end)
            except OSError as error:
                check_alive()
                if time.monotonic() > end:
                    raise RunnerFailed(
                        f"QEMU's monitor does not answer after {deadline_s:g} s: the machine may be overloaded"
                    ) from error
            time.sleep(RETRY_S)

    def ask(
        self,
        command: str,
        /,
        *,
        timeout_s: float = ASK_TIMEOUT_S,
        fds: Sequence[int] = (),
        **arguments: Any,
    ) -> Any:
        """Return what QEMU answers to a command.

        Args:
            command: Its name.
            timeout_s: Seconds that the answer may take.
            fds: File descriptors that go with it; the caller keeps its own.
            arguments: Its arguments; an underscore in a name stands for a hyphen.

        Raises:
            QmpRefused: It answered with an error.
            RunnerFailed: It is gone, closed, or does not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        with self._lock:
            number = next(self._ids)
            named = {name.replace("_", "-"): value for name, value in arguments.items()}
            message = {"execute": command, "arguments": named, "id": number}
            try:
                self._send(json.dumps(message).encode() + b"\n", fds)
                while (answer := self._next(deadline)).get("id") != number:
                    self._note(answer)
            except TimeoutError as error:
                raise RunnerFailed(
                    f"QEMU did not answer {command} in {timeout_s:g} s: the machine hangs or its host is overloaded; reset"
                ) from error
            except OSError as error:
                raise self._lost(error) from error
        if "error" in answer:
            raise QmpRefused(f"QEMU refused {command}: {answer['error'].get('desc', 'it did not say why')}")
        return answer.get("return")

    def event(self, name: str) -> dict[str, Any] | None:
        """Return the data of the last event of a name; None when none has come so far.

        Args:
            name: The event's; of one that is about a device, ``NAME:id``.
        """
        with self._lock:
            with suppress(OSError):  # no more has come, or none will
                for _ in range(MAX_EVENTS):
                    self._note(self._next(time.monotonic()))
            return self._events.get(name)

    def forget(self, name: str) -> None:
        """Forget an event, to see whether another of its name comes."""
        self._events.pop(name, None)

    def close(self) -> None:
        """Hang up; a thread that waits for an answer is woken. Safe to call twice."""
        self._is_closed = True
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # QEMU was first
            return
        finally:
            self._socket.close()

    def _greet(self, deadline: float) -> None:
        try:
            greeting = self._next(deadline)
        except TimeoutError as error:
            raise RunnerFailed("QEMU's monitor says nothing: another client may hold it") from error
        except OSError as error:
            raise self._lost(error) from error
        if "QMP" not in greeting:
            raise RunnerFailed("what answers in the place of QEMU's monitor is none")

    def _send(self, data: bytes, fds: Sequence[int]) -> None:
        self._socket.settimeout(ASK_TIMEOUT_S)
        if fds:
            sent = socket.send_fds(self._socket, [data], list(fds))
            data = data[sent:]
        self._socket.sendall(data)

    def _next(self, deadline: float) -> dict[str, Any]:
        """Return the next message.

        Raises:
            TimeoutError: None came in time.
            OSError: None will come.
        """
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise ConnectionAbortedError("it talks without end")
            self._socket.settimeout(max(1e-4, deadline - time.monotonic()))
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise ConnectionResetError("it hung up")
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            message = json.loads(line)
        except ValueError as error:
            raise ConnectionAbortedError("it does not speak JSON") from error
        if not isinstance(message, dict):
            raise ConnectionAbortedError("it does not speak QMP")
        return message

    def _note(self, message: dict[str, Any]) -> None:
        name, data = message.get("event"), message.get("data") or {}
        if isinstance(name, str):
            self._events[f"{name}:{data['id']}" if "id" in data else name] = data

    def _lost(self, error: Exception) -> RunnerFailed:
        if self._is_closed:
            return RunnerFailed("the environment was closed: create a new one")
        return self._explain_end() or RunnerFailed(f"QEMU's monitor is lost ({error}): reset the environment")
