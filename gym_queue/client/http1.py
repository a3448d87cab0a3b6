"""HTTP/1.1 as bytes: requests written, replies read. No I/O here: blocking and asyncio connections share it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, quote, urlencode, urlsplit

import httptools

from gym_queue.client.calls import Call
from gym_queue.client.replies import Reply
from gym_queue.errors import RequestInvalid
from gym_queue.tracing import of_caller
from gym_queue.version import __version__

DEFAULT_PORTS = {"http": 80, "https": 443}
DIGITS = re.compile(r"[0-9]{1,9}")
"""A Retry-After in seconds; one that is a date is of no use without the server's clock."""


def check_url(url: str) -> str:
    """Return a server's URL without a slash at its end.

    Raises:
        RequestInvalid: It is not http(s)://host[:port][/path].
    """
    parts = _split(url)
    if parts is None:
        raise RequestInvalid(f"the remote URL {url!r} is not valid: write http://host:5800")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise RequestInvalid(
            "the remote URL has a user, a query or a fragment: write http://host:5800, and give token="
        )
    return f"{parts.scheme}://{parts.netloc}{quote(parts.path, safe='/%:@!$&()*+,;=~')}".rstrip("/")


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        valid = parts.scheme in DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0
    except (ValueError, AttributeError, TypeError):  # half an IPv6 address, a port that is no number, no str
        return None
    return parts if valid and parts.netloc.isascii() and not set(parts.netloc) & set(' "<>\\^`{|}') else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a server is."""

    host: str
    port: int
    secure: bool
    """https."""
    prefix: str
    """Path that every call's path follows."""
    head: bytes = field(repr=False)
    """The header lines of every request, the token among them."""


def make_origin(url: str, token: str | None) -> Origin:
    """Return the origin of a URL.

    Args:
        url: Of ``check_url``.
        token: Sent as bearer token; None or empty sends none.

    Raises:
        RequestInvalid: The token cannot be sent.
    """
    parts = urlsplit(url)
    lines = [f"Host: {parts.netloc}", f"User-Agent: gym-queue/{__version__}", "Accept-Encoding: identity"]
    if token:
        lines.append(f"Authorization: Bearer {_check_token(token)}")
    return Origin(
        host=parts.hostname or "",
        port=parts.port or DEFAULT_PORTS[parts.scheme],
        secure=parts.scheme == "https",
        prefix=parts.path,
        head="".join(f"{line}\r\n" for line in lines).encode("ascii"),
    )


def _check_token(token: str) -> str:
    stripped = token.strip()
    if not stripped.isascii() or not stripped.isprintable():
        raise RequestInvalid(
            "the token holds characters that no token has: copy it again, or delete the token file"
        )
    return stripped


def write_request(origin: Origin, call: Call, request_id: str, file_bytes: int | None = None) -> bytes:
    """Return a call as it goes over the wire; of one whose body is a file of ``file_bytes``, what comes before that."""
    query = f"?{urlencode(call.query)}" if call.query else ""
    body = call.body or b""
    own = f"Accept: {call.accept}\r\nX-Request-ID: {request_id}\r\n"
    own += "".join(f"{name}: {value}\r\n" for name, value in of_caller().items())
    if call.key is not None:
        own += f"Idempotency-Key: {call.key}\r\n"
    if call.body is not None:
        own += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    elif file_bytes is not None:
        own += f"Content-Type: application/octet-stream\r\nContent-Length: {file_bytes}\r\n"
    first = f"{call.method} {origin.prefix}{call.path}{query} HTTP/1.1\r\n"
    return b"".join((first.encode("ascii"), origin.head, own.encode("ascii"), b"\r\n", body))


class ReplyReader:
    """Reads one reply from the bytes of a connection."""

    def __init__(self) -> None:
        self.complete = False
        self.status = 0
        """0 until the head is whole."""
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._excess = False
        self._keep_alive = False
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what the connection brought; nothing means that it ended.

        Raises:
            ConnectionError: It ended in the middle of the reply.
            httptools.HttpParserError: This is not HTTP.
        """
        if data:
            self._parser.feed_data(data)
        elif self.status and not self._framed():
            self.complete = True
        else:
            raise ConnectionError(
                "the server hung up" if self.status else "the server hung up without a reply"
            )

    def take(self) -> bytes:
        """Return the part of the body that came since the last call."""
        taken = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        return taken

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another call."""
        return self.complete and self._keep_alive and not self._excess

    def reply(self, request_id: str) -> Reply:
        """Return the reply, once it is complete; ``request_id`` is what it has when the server names none."""
        named = self._header(b"x-request-id") or request_id
        retry_after = self._header(b"retry-after").strip()
        return Reply(
            self.status,
            self._header(b"content-type"),
            self.take(),
            named,
            retry_after_s=int(retry_after) if DIGITS.fullmatch(retry_after) else None,
            replayed=self._header(b"idempotency-replayed").strip().lower() == "true",
        )

    def _header(self, name: bytes) -> str:
        return self._headers.get(name, b"").decode("latin-1")

    def _framed(self) -> bool:
        """Whether the head says where the body ends; else it ends with the connection."""
        return b"content-length" in self._headers or b"transfer-encoding" in self._headers

    def on_message_begin(self) -> None:
        self._excess = self.complete

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.complete:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if not self.complete:
            self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if not self.complete:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if 100 <= self.status < 200:  # the reply itself is still to come
            self.status = 0
            self._headers.clear()
        elif not self.complete:
            self.complete = True
            self._keep_alive = self._parser.should_keep_alive()
