from __future__ import annotations

import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gym_queue.client.transport import Transport

DROP = b""
"""Close the connection instead of answering."""
HANG = None
"""Never answer."""
Answer = bytes | None | Callable[[], bytes]


@dataclass(frozen=True)
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


def answer(
    status: int = 200, content: object = None, *, raw: bytes | None = None, headers: str = "", length: int = 0
) -> bytes:
    body = json.dumps({} if content is None else content).encode() if raw is None else raw
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {length or len(body)}\r\n{headers}\r\n"
    return head.encode() + body


class Script:
    """A real server that answers from a script, then closes every further connection."""

    def __init__(self, tls: ssl.SSLContext | None = None, *, port: int = 0) -> None:
        self.seen: list[Seen] = []
        self.answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self.always: dict[str, bytes] = {}
        """Last part of a path → what it is answered with, aside from the script and not in ``seen``."""
        self.aside: list[Seen] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self._tls = tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self._stopped = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def listening(self) -> bool:
        """Whether it takes connections."""
        return self._threads[0].is_alive()

    @property
    def keys(self) -> list[str | None]:
        """The Idempotency-Key of each request."""
        return [seen.headers.get("idempotency-key") for seen in self.seen]

    def then(self, *answers: Answer) -> None:
        """Say what the next requests are answered with; a function is called for it, and may take its time."""
        for each in answers:
            self.answers.put(each)

    @property
    def connections(self) -> int:
        """How many were made so far."""
        return len(self._open)

    def hang_up(self) -> None:
        """Close the connections that are open, and wait until that is done."""
        for each in self._open:
            _shut(each)
        for thread in self._threads[1:]:
            thread.join()

    def stop(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self.hang_up()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._tls is not None:
                try:
                    connection = self._tls.wrap_socket(connection, server_side=True)
                except OSError:  # the client did not like our certificate
                    connection.close()
                    continue
            self._open.append(connection)
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as incoming:
            while (seen := _read(incoming)) is not None:
                fixed = self.always.get(seen.path.rpartition("/")[2])
                (self.seen if fixed is None else self.aside).append(seen)
                reply = fixed if fixed is not None else DROP if self.answers.empty() else self.answers.get()
                if callable(reply):
                    reply = reply()
                if reply == DROP:
                    return
                if reply is HANG:
                    incoming.read()  # returns when the client, or stop(), closes
                    return
                connection.sendall(reply)
                if _cut_short(reply):
                    return


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # closed already


def _cut_short(reply: bytes) -> bool:
    head, _, body = reply.partition(b"\r\n\r\n")
    return f"Content-Length: {len(body)}\r\n".encode() not in head + b"\r\n"


def _read(incoming: Any) -> Seen | None:
    try:
        first = incoming.readline().decode().split()
    except (OSError, UnicodeDecodeError):  # a client that asks whether this is TLS
        return None
    if not first:
        return None
    headers = {}
    while line := incoming.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", "0")))
    return Seen(first[0], first[1], headers, json.loads(body) if body else None)


@pytest.fixture
def server() -> Iterator[Script]:
    script = Script()
    yield script
    script.stop()


@pytest.fixture
def pauses() -> list[float]:
    """What the transport slept, in seconds."""
    return []


@pytest.fixture
def transport(server: Script, pauses: list[float]) -> Iterator[Transport]:
    transport = Transport(server.url, "secret-token", sleep=pauses.append)
    yield transport
    transport.close()


@pytest.fixture
def dead_url() -> str:
    """A URL where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"
