"""HTTP/1.1 as cheap as Python has it: what measures must cost less than what is measured."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gym_queue.client.trust import Trust
from gym_queue.errors import BadReply, ConnectionFailed, GymQueueError, from_wire
from gym_queue.tls import explain

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r", re.IGNORECASE)
CONNECT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body's JSON object.

        Raises:
            BadReply: It is something else.
        """
        try:
            found = json.loads(self.body)
        except ValueError as error:
            raise BadReply(f"the answer {self.body[:80]!r} is not JSON") from error
        if not isinstance(found, dict):
            raise BadReply(f"the answer {self.body[:80]!r} is not a JSON object")
        return found

    def check(self) -> Reply:
        """Return the reply.

        Raises:
            GymQueueError: What an error's reply says.
        """
        if self.status >= 400:
            raise from_wire(self.status, self.json())
        return self


def make_request(
    method: str, path: str, *, token: str, body: bytes = b"", accept: str = "application/json"
) -> bytes:
    """Return a request's bytes; the same bytes may be sent any number of times."""
    return (
        f"{method} {path} HTTP/1.1\r\nHost: fleet\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Connection(asyncio.Protocol):
    """One kept-alive connection, one request at a time; takes replies that name their length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._size = 0
        """Bytes of the reply that comes in; 0 while its head is not whole."""
        self._body_at = 0
        self._answer: asyncio.Future[Reply] | None = None

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: bytes) -> asyncio.Future[Reply]:
        """Send a request; the future fails with ConnectionFailed or BadReply."""
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        if self._transport is None or self._transport.is_closing():
            answer.set_exception(ConnectionFailed("the connection is closed: open another"))
            return answer
        self._answer = answer
        self._transport.write(request)
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Take bytes of a reply."""
        self._buffer = data = self._buffer + data if self._buffer else data
        if not self._size and not self._read_head(data):
            return
        if len(data) >= self._size:
            reply = Reply(int(data[9:12]), data[self._body_at : self._size])
            self._buffer, self._size = data[self._size :], 0
            self._finish(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what still waits."""
        self._finish(ConnectionFailed(f"the server hung up before its answer was whole ({exc or 'closed'})"))

    def _read_head(self, data: bytes) -> bool:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return False
        length = _LENGTH.search(data, 0, end + 2)
        if length is None or not data[9:12].isdigit():
            self._finish(BadReply(f"an answer without its length: {data[: min(end, 80)]!r}"))
            self.close()
            return False
        self._body_at = end + 4
        self._size = self._body_at + int(length[1])
        return True

    def _finish(self, outcome: Reply | GymQueueError) -> None:
        answer, self._answer = self._answer, None
        if answer is None or answer.done():
            return
        if isinstance(outcome, Reply):
            answer.set_result(outcome)
        else:
            answer.set_exception(outcome)


async def connect(url: str) -> Connection:
    """Return a connection to a server.

    Args:
        url: ``http://host:port``, or https.

    Raises:
        ConnectionFailed: It cannot be reached.
    """
    parts = urlsplit(url)
    tls = Trust().context() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(Connection, parts.hostname or "", port, ssl=tls)
    except (OSError, TimeoutError) as error:
        raise ConnectionFailed(
            f"cannot connect to {url}: {explain(error) or error or 'no answer'}; is it running?"
        ) from error
    return connection


class Caller:
    """A connection that is opened when first needed, and again after it was lost.

    Args:
        url: ``http://host:port``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection: Connection | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None and self._connection.is_open

    async def ask(self, request: bytes) -> Reply:
        """Send a request and return the reply, whatever its status.

        Raises:
            ConnectionFailed: The server cannot be reached, or hung up.
            BadReply: It answered without a length.
        """
        if self._connection is None or not self._connection.is_open:
            self._connection = await connect(self.url)
        return await self._connection.ask(request)

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
