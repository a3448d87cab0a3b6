"""An X11 client connection: the handshake, requests, replies, events.

Written out here and not taken from xcb: the shared memory of capture.py needs a file descriptor sent with a
request, which no binding for Python offers, and a step should not wait for anything but the server.
Source: X Window System Protocol, Version 11, appendix B (https://www.x.org/releases/current/doc/xproto/x11protocol.html).
"""

from __future__ import annotations

import array
import os
import select
import socket
import stat
import struct
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import RunnerFailed

REPLY_TIMEOUT_S = 10.0
"""A server that answers nothing for this long has hung."""
RETRY_S = 0.02
"""How often to try a server that does not answer yet."""
COOKIE_NAME = b"MIT-MAGIC-COOKIE-1"

_ERROR, _REPLY, _GENERIC_EVENT = 0, 1, 35
_FOCUS_REQUEST = struct.pack("<BxH", 43, 1)  # GetInputFocus: the cheapest request with a reply
_REFUSED, _ACCEPTED = 0, 1


class RequestRefused(RunnerFailed):
    """The server answered a request with an error."""


@dataclass(frozen=True, slots=True)
class Extension:
    """Where the server put an extension."""

    major: int
    """The opcode of its requests."""
    first_event: int
    first_error: int


@dataclass(frozen=True, slots=True)
class Screen:
    """What the handshake says of the server's first screen."""

    root: int
    width: int
    height: int
    depth: int
    id_base: int
    keycodes: tuple[int, int]
    """The lowest and the highest."""


class Connection:
    """A connection to one X server; used by one thread, ``close`` by any.

    Args:
        sock: A connected stream socket; owned by the connection from here on.
        cookie: The server's MIT-MAGIC-COOKIE-1; None for a server that lets everybody in.

    Raises:
        RunnerFailed: The server refuses the connection, or has a screen that is not of 24 bits.
        OSError: The server went away during the handshake.
    """

    def __init__(self, sock: socket.socket, cookie: bytes | None) -> None:
        self._sock = sock
        self._sent = 0
        self._ids = 0
        self._events: deque[bytes] = deque()
        self._is_closed = False
        self.screen = self._shake_hands(cookie)
        self._sock.settimeout(REPLY_TIMEOUT_S)

    def new_id(self) -> int:
        """Return an id for a resource that the next requests make."""
        self._ids += 1
        return self.screen.id_base | self._ids

    def extension(self, name: str) -> Extension | None:
        """Return where an extension is; None when the server lacks it."""
        raw = name.encode()
        reply = self.ask(struct.pack("<BxHHxx", 98, 2 + _words(len(raw)), len(raw)) + _padded(raw))
        present, major, first_event, first_error = struct.unpack_from("<4B", reply, 8)
        return Extension(major, first_event, first_error) if present else None

    def send(self, *requests: bytes, fds: Sequence[int] = ()) -> None:
        """Send requests that have no reply.

        Args:
            requests: Whole requests.
            fds: File descriptors that go with them; the caller keeps its own.

        Raises:
            RunnerFailed: The server is gone.
        """
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        data = b"".join(requests)
        try:
            if ancillary:
                data = data[self._sock.sendmsg([data], ancillary) :]
            self._sock.sendall(data)
        except OSError as error:
            raise self._lost(error) from error
        self._sent += len(requests)

    def ask(self, request: bytes) -> bytearray:
        """Send a request and return its reply, from its first byte."""
        return self.ask_all(request)[0]

    def ask_all(self, *requests: bytes) -> list[bytearray]:
        """Send requests in one go and return the replies.

        Raises:
            RequestRefused: The server answered one of them, or one sent before, with an error.
            RunnerFailed: The server is gone, or does not answer.
        """
        first = self._sent + 1
        self.send(*requests)
        return [self._reply_to(first + offset) for offset in range(len(requests))]

    def sync(self) -> None:
        """Return when the server has done all that was sent; its events so far have then arrived.

        Raises:
            RequestRefused: It answered one of the requests with an error.
        """
        self.ask(_FOCUS_REQUEST)

    def events(self, *, wait_s: float = 0.0) -> list[bytes]:
        """Return the events that came, in order.

        Args:
            wait_s: How long to wait for the first one.
        """
        while self._is_readable(0.0 if self._events else wait_s):
            wait_s = 0.0
            self._keep_event(self._receive())
        found = list(self._events)
        self._events.clear()
        return found

    def close(self) -> None:
        """Hang up; a thread that waits for the server is woken. Safe to call twice."""
        self._is_closed = True
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:  # the server was first
            return
        finally:
            self._sock.close()

    def _shake_hands(self, cookie: bytes | None) -> Screen:
        name = COOKIE_NAME if cookie else b""
        lengths = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(cookie or b""))
        self._sock.sendall(lengths + _padded(name) + _padded(cookie or b""))
        status, reason_size, _, _, words = struct.unpack("<BBHHH", self._read(8))
        body = self._read(words * 4)
        if status == _REFUSED:
            reason = bytes(body[:reason_size]).decode(errors="replace").strip()
            raise RunnerFailed(f"the X server lets nobody in without its cookie: {reason}")
        if status != _ACCEPTED:
            raise RunnerFailed("the X server asks for an authentication that is not MIT-MAGIC-COOKIE-1")
        return _parse_setup(body)

    def _reply_to(self, sequence: int) -> bytearray:
        while True:
            message = self._receive()
            if message[0] == _REPLY and struct.unpack_from("<H", message, 2)[0] == sequence & 0xFFFF:
                return message
            self._keep_event(message)

    def _keep_event(self, message: bytearray) -> None:
        """Keep an event, raise an error, drop a reply that an earlier failure left behind."""
        if message[0] == _ERROR:
            code, _, _, minor, major = struct.unpack_from("<BHIHB", message, 1)
            raise RequestRefused(f"the X server refused request {major}.{minor} with error {code}")
        if message[0] != _REPLY:
            self._events.append(bytes(message))

    def _receive(self) -> bytearray:
        try:
            message = self._read(32)
            if message[0] in (_REPLY, _GENERIC_EVENT):
                message += self._read(struct.unpack_from("<I", message, 4)[0] * 4)
        except TimeoutError as error:
            raise RunnerFailed(
                f"the X server did not answer in {REPLY_TIMEOUT_S:g} s: reset the environment"
            ) from error
        except OSError as error:
            raise self._lost(error) from error
        return message

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            count = self._sock.recv_into(view)
            if not count:
                raise ConnectionResetError("it hung up")
            view = view[count:]
        return data

    def _is_readable(self, wait_s: float) -> bool:
        try:
            return bool(select.select([self._sock], [], [], wait_s)[0])
        except (OSError, ValueError) as error:  # closed by another thread
            raise self._lost(error) from error

    def _lost(self, error: Exception) -> RunnerFailed:
        if self._is_closed:
            return RunnerFailed("the environment was closed: create a new one")
        return RunnerFailed(f"the X server died ({error}): reset the environment")


def connect(
    path: Path, *, cookie: bytes | None, deadline_s: float, process_alive: Callable[[], None] | None
) -> Connection:
    """Connect to a server that may still be starting.

    Args:
        path: The server's unix socket, of any length.
        cookie: As for Connection.
        deadline_s: How long to try.
        process_alive: Called between two tries; what it raises ends them.

    Raises:
        RunnerFailed: None answers in time, or it refuses the connection.
    """
    end = time.monotonic() + deadline_s
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(max(RETRY_S, end - time.monotonic()))
            connect_to(sock, path)
            return Connection(sock, cookie)
        except OSError as error:
            sock.close()
            if time.monotonic() >= end:
                raise RunnerFailed(
                    f"no X server answers at {path} after {deadline_s:g} s ({error}): see what its log says"
                ) from error
        except BaseException:
            sock.close()
            raise
        if process_alive is not None:
            process_alive()
        time.sleep(RETRY_S)


def read_cookie(authority: bytes, display: int) -> bytes | None:
    """Return the cookie of a display from the content of an ``.Xauthority`` file; None when there is none.

    Args:
        authority: Entries of a family and four strings with their lengths, big-endian (Xau's format).
        display: The display's number; an entry without a number fits all.
    """
    at = 0
    while at < len(authority):
        fields = []
        at += 2  # the family of the address: one server, whatever its host is called
        for _ in range(4):
            (size,) = struct.unpack_from(">H", authority, at)
            fields.append(authority[at + 2 : at + 2 + size])
            at += 2 + size
        _, number, name, data = fields
        if name == COOKIE_NAME and number in (b"", str(display).encode()):
            return data
    return None


def connect_to(sock: socket.socket, path: Path) -> None:
    """Connect to a unix socket whose path may be longer than an address holds.

    What is inside a sandbox may put anything in the socket's place: a link to a socket of this host is not followed.

    Raises:
        OSError: Nothing listens there, or it is no socket.
    """
    place = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(place).st_mode):
            raise ConnectionRefusedError(f"{path.name} is not a socket")
        sock.connect(f"/proc/self/fd/{place}")
    finally:
        os.close(place)


def _parse_setup(body: bytearray) -> Screen:
    id_base, vendor_size, formats = struct.unpack_from("<4xI8xHxxxB", body)[0:3]
    low, high = struct.unpack_from("<BB", body, 26)
    at = 32 + _words(vendor_size) * 4 + formats * 8
    root, width, height = struct.unpack_from("<I16xHH", body, at)
    depth = body[at + 38]
    if depth not in (24, 32):
        raise RunnerFailed(f"the X server's screen has {depth} bits a pixel: start it with 24")
    return Screen(root, width, height, depth, id_base, (low, high))


def _words(size_bytes: int) -> int:
    return -(-size_bytes // 4)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
