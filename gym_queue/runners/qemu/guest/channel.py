"""The host's end of the helper's port: one connection, many calls at a time."""

from __future__ import annotations

import json
import logging
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gym_queue.errors import GymQueueError, RunnerFailed
from gym_queue.runners.qemu.guest.inside.wire import (
    ANSWER,
    ASK,
    COUNT,
    CREDIT,
    DATA,
    END,
    ENDED,
    HEAD,
    HELLO,
    NONCE_BYTES,
    OPEN,
    PADDING,
    Frames,
    WireError,
    data_frames,
    frame,
)
from gym_queue.runners.qemu.guest.stream import Stream

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 60.0
WATCH_S = 1
"""How often it is asked whether the machine and its helper are still there, while nothing comes."""
"""Longest that the guest may take nothing at all: one that is saved stands still meanwhile."""
ASK_AGAIN_S = 2.0
"""After this long without an answer the question is put again: what the guest was just busy with may have swallowed it."""
RETRY_S = 0.02
READ_BYTES = 262144
_CLOSED = "the environment was closed: create a new one"


class Channel:
    """The connection. Calls may be opened by several threads.

    Args:
        path: The unix socket that QEMU gives the port.
        explain_end: Returns why the machine is gone, or None while it runs.
        digest: Of the helper that this program carries.
        deadline_s: Seconds until the helper must have answered.

    Raises:
        RunnerFailed: Nothing answered in time, or a helper of another version did.
    """

    def __init__(
        self, path: Path, *, explain_end: Callable[[], RunnerFailed | None], digest: bytes, deadline_s: float
    ) -> None:
        self._explain_end, self._digest = explain_end, digest
        self._lock, self._sending = threading.Lock(), threading.Lock()
        self._streams: dict[int, Stream] = {}
        self._count = 0
        self._error: GymQueueError | None = None
        self._frames = Frames()
        deadline = time.monotonic() + deadline_s
        self._socket = self._connect(path, deadline)
        try:
            self._greet(deadline, deadline_s)
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        limit = struct.pack("@ll", int(SEND_TIMEOUT_S), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", WATCH_S, 0))
        self._reader = threading.Thread(target=self._read, name="guest-channel", daemon=True)
        self._reader.start()

    def open(self, asked: dict[str, Any], body: bytes | None = None) -> Stream:
        """Begin a call.

        Args:
            asked: What the helper is asked.
            body: All that is sent with it; None when the caller writes.

        Raises:
            RunnerFailed: The connection is gone.
        """
        with self._lock:
            if self._error is not None:
                raise type(self._error)(self._error.message, self._error.details)
            self._count += 1
            stream = self._streams[self._count] = Stream(self._count, self._send)
        opening = frame(OPEN, stream.number, json.dumps(asked).encode())
        if body is None or len(body) > READ_BYTES:
            self._send(opening)
        if body is not None and len(body) > READ_BYTES:
            stream.write(body, timeout_s=SEND_TIMEOUT_S)
            stream.write_end()
        elif body is not None:
            self._send(opening + data_frames(stream.number, body) + frame(END, stream.number))
        return stream

    def close(self) -> None:
        """Hang up; every call fails. Safe to call twice, and from any thread."""
        self._fail(RunnerFailed(_CLOSED))
        if threading.current_thread() is not self._reader:
            self._reader.join(timeout=SEND_TIMEOUT_S)

    def _connect(self, path: Path, deadline: float) -> socket.socket:
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                connection.connect(str(path))
                return connection
            except OSError as error:
                connection.close()
                ended = self._explain_end()
                if ended is not None or time.monotonic() > deadline:
                    raise (ended or _unreachable(path, error)) from error
            time.sleep(RETRY_S)

    def _greet(self, deadline: float, deadline_s: float) -> None:
        """Find the beginning of the talk: all that comes before the answer to our number is of an older one."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        asked, answer = frame(HELLO, 0, ASK + nonce), ANSWER + nonce
        size = HEAD.size + len(answer) + len(self._digest)
        mark = HEAD.pack(HELLO, 0, size - HEAD.size) + answer
        ask_at = 0.0
        while True:
            now = time.monotonic()
            if now > deadline:
                raise RunnerFailed(
                    f"the helper in the guest did not answer within {deadline_s:g} s: it ended, or hangs"
                )
            try:
                if now >= ask_at:
                    self._socket.settimeout(deadline - now)
                    self._socket.sendall(PADDING + asked)
                    ask_at = time.monotonic() + ASK_AGAIN_S
                self._socket.settimeout(min(ASK_AGAIN_S, max(0.01, deadline - time.monotonic())))
                data = self._socket.recv(READ_BYTES)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data:
                raise self._explain_end() or RunnerFailed(
                    "the guest's port closed before its helper answered"
                )
            self._frames.feed(data)
            if self._frames.skip_to(mark) and (taken := self._frames.take()) is not None:
                break
        if taken[2][len(answer) :] != self._digest:
            raise RunnerFailed(
                "the helper in this machine is of another version of this program: remove the machine that is kept booted"
            )

    def _send(self, data: bytes) -> None:
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError as error:
            self._fail(self._why(error))
            raise self._why(None) from error

    def _read(self) -> None:
        try:
            while data := self._receive():
                self._frames.feed(data)
                while (taken := self._frames.take()) is not None:
                    self._dispatch(*taken)
            self._fail(self._why(None))
        except (OSError, WireError, ValueError, RecursionError, struct.error) as error:
            self._fail(self._why(error))
        finally:
            self._socket.close()

    def _receive(self) -> bytes:
        """Return what comes next; looks from time to time whether anything still can, since no port says so."""
        while True:
            try:
                return self._socket.recv(READ_BYTES)
            except BlockingIOError:  # SO_RCVTIMEO
                ended = self._explain_end()
                if ended is not None:
                    self._fail(ended)
                    return b""

    def _dispatch(self, kind: int, number: int, data: bytes) -> None:
        with self._lock:
            stream = self._streams.get(number)
        if stream is None:
            return
        if kind == DATA:
            stream.came(data)
        elif kind == END:
            stream.came_end()
        elif kind == CREDIT:
            stream.came_credit(COUNT.unpack(data)[0])
        elif kind == ENDED:
            facts = json.loads(data)
            if not isinstance(facts, dict):
                raise WireError("the guest does not say how a call ended")
            stream.came_ended(facts)
            with self._lock:
                self._streams.pop(number, None)

    def _fail(self, error: GymQueueError) -> None:
        with self._lock:
            self._error = self._error or error
            streams = list(self._streams.values())
            self._streams.clear()
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            logger.debug("the guest's port was closed already")
        for stream in streams:
            stream.fail(self._error)

    def _why(self, error: Exception | None) -> GymQueueError:
        """Return why the connection ended."""
        if self._error is not None:
            return self._error
        reason = f" ({error})" if error is not None and not isinstance(error, BlockingIOError) else ""
        return self._explain_end() or RunnerFailed(
            f"the helper in the guest hung up or hangs{reason}: something inside killed it, or the machine stands still"
        )


def _unreachable(path: Path, error: OSError) -> RunnerFailed:
    return RunnerFailed(f"the guest's port {path.name} cannot be connected to: {error.strerror or error}")
