"""Heads of HTTP/1 messages, parsed once and strictly: what two parsers could read in two ways is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address

from gym_queue.errors import GymQueueError, MethodNotAllowed, RequestMalformed, TooLarge

MAX_HEAD_BYTES = 64 << 10
MAX_FIELDS = 256
CHUNKED = -1
"""Framing: the body comes in chunks."""
UNTIL_CLOSE = -2
"""Framing: the body ends with the connection (replies only)."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELDS = rb"((?:" + _TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n"
_REQUEST_LINE = rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])\r\n"
_STATUS_LINE = rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?\r\n"
_REQUEST = re.compile(_REQUEST_LINE + _FIELDS)
_REPLY = re.compile(_STATUS_LINE + _FIELDS)
REQUEST_LINE = re.compile(_REQUEST_LINE)
STATUS_LINE = re.compile(_STATUS_LINE)
_OURS = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding"
    b" upgrade content-length authorization cookie host expect idempotency-key x-request-id"
    b" x-master-timestamp".split()
)
"""Headers that are read here; those of one connection alone (RFC 9110, section 7.6.1) are not sent on."""
NOT_IN_TRAILERS = _OURS
"""Fields that would change what was already decided by the head (RFC 9110, section 6.5.1)."""
REQUEST_VARIES = frozenset({b"content-length", b"idempotency-key", b"x-request-id"})
"""Headers whose values change from one request of a client to its next; sent on by whoever forwards."""
REPLY_VARIES = frozenset({b"content-length", b"date", b"x-request-id", b"x-worker-processing-time"})
_OF_REPLIES = (
    _OURS | REPLY_VARIES | frozenset(b"set-cookie refresh clear-site-data service-worker-allowed".split())
)
"""The last ones would let a worker act on who looks at its replies with a browser: they are not sent on."""
_DATA = re.compile(
    rb"content-type:[ \t]*application/(?:json|vnd\.gym-queue\+msgpack)[ \t]*(?:;[^,]*)?", re.IGNORECASE
)
_GUARD = b"x-content-type-options: nosniff\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'; sandbox\r\n"
"""Said before what a worker says of anything but data: it is nobody's page, least of all the dashboard's."""
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization", b"idempotency-key"})
METHODS = frozenset(b"GET HEAD POST PUT PATCH DELETE OPTIONS".split())
_LENGTH = re.compile(rb"[0-9]{1,18}")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[([0-9A-Fa-f:.]+)\])(?::[0-9]*)?")


@dataclass(slots=True)
class RequestHead:
    """A request's head."""

    method: bytes
    target: bytes
    is_http_10: bool
    fields: dict[bytes, bytes]
    """Of the headers read here, by lower-case name."""
    rest: bytes
    """The other headers as they came, each line with its end."""
    framing: int
    """Bytes of the body, or CHUNKED."""
    keep_alive: bool
    is_upgrade: bool
    """Whether it asks for a WebSocket; other upgrades are not for a proxy to pass on."""

    @property
    def is_plain(self) -> bool:
        """Whether another head with the same headers is framed and kept alive in the same way."""
        usual = self.fields.get(b"connection", b"").lower() in (b"", b"keep-alive")
        return usual and self.framing >= 0 and not self.is_http_10 and b"upgrade" not in self.fields

    def again(self, method: bytes, target: bytes, fields: dict[bytes, bytes], framing: int) -> RequestHead:
        """Return a head like this plain one but for what is given."""
        return RequestHead(
            method, target, self.is_http_10, fields, self.rest, framing, self.keep_alive, self.is_upgrade
        )


@dataclass(slots=True)
class ReplyHead:
    """A reply's head."""

    status: int
    first_line: bytes
    fields: dict[bytes, bytes]
    rest: bytes
    framing: int
    """Bytes of the body, CHUNKED or UNTIL_CLOSE."""
    keep_alive: bool

    @property
    def is_plain(self) -> bool:
        """Whether another head with the same headers is framed and kept alive in the same way."""
        usual = self.fields.get(b"connection", b"").lower() in (b"", b"keep-alive")
        sized = b"content-length" in self.fields and self.status >= 200 and self.status not in (204, 304)
        return usual and sized and self.keep_alive and self.first_line.startswith(b"HTTP/1.1")

    def again(self, fields: dict[bytes, bytes], framing: int) -> ReplyHead:
        """Return a head like this plain one but for what is given."""
        return ReplyHead(self.status, self.first_line, fields, self.rest, framing, self.keep_alive)


def head_end(data: bytes, first_line: re.Pattern[bytes]) -> int:
    """Return where the head ends, 0 when more of it must come.

    Args:
        data: What has come.
        first_line: REQUEST_LINE or STATUS_LINE; what cannot become a head is refused without waiting for its end.

    Raises:
        TooLarge: It is longer than any head should be.
        RequestMalformed: A line ends without its carriage return, or the first line is not HTTP/1's.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD_BYTES:
        raise TooLarge(f"the head is longer than {MAX_HEAD_BYTES >> 10} KiB: send less in headers")
    lines = data.count(b"\n")
    if lines and data.count(b"\r\n") != lines:
        raise RequestMalformed("a header line ends without a carriage return: end lines with CR LF")
    if lines and not first_line.match(data):
        raise RequestMalformed("the first line is not HTTP/1's: send HTTP/1.1")
    return 0


def parse_request(head: bytes) -> RequestHead:
    """Parse a request's head.

    Args:
        head: Up to and with its empty line.

    Raises:
        RequestMalformed: It is not HTTP/1, or says two things about where its body ends.
        MethodNotAllowed: Nothing here serves its method.
        TooLarge: It has too many headers.
    """
    match = _REQUEST.fullmatch(head)
    if match is None:
        raise RequestMalformed("the request's head is not HTTP/1: check its request line and headers")
    method, target, minor, block = match.groups()
    if method not in METHODS:
        raise MethodNotAllowed(f"the method {method[:40].decode()} is not served: use GET, POST or PUT")
    fields, rest = _split(block, _OURS)
    is_http_10 = minor == b"0"
    _check_host(fields.get(b"host"), needed=not is_http_10)
    connection = fields.get(b"connection", b"").lower()
    names = _names(connection)
    if names:
        rest = _without(rest, names)
    return RequestHead(
        method,
        target,
        is_http_10,
        fields,
        rest,
        _framing(fields, is_http_10=is_http_10, default=0),
        b"keep-alive" in connection and b"close" not in names
        if is_http_10
        else not _closes(connection, names),
        b"upgrade" in names
        and not is_http_10
        and method == b"GET"
        and fields.get(b"upgrade", b"").lower() == b"websocket",
    )


def parse_reply(head: bytes, *, method: bytes) -> ReplyHead:
    """Parse a reply's head.

    Args:
        head: Up to and with its empty line.
        method: Of the request: replies to HEAD have no body.

    Raises:
        RequestMalformed: It is not HTTP/1; the caller says whose fault that is.
        TooLarge: It has too many headers.
    """
    match = _REPLY.fullmatch(head)
    if match is None:
        raise RequestMalformed("the reply's head is not HTTP/1")
    minor, code, block = match.groups()
    status = int(code)
    fields, rest = _split(block, _OF_REPLIES)
    is_http_10 = minor == b"0"
    framing = _framing(fields, is_http_10=is_http_10, default=UNTIL_CLOSE)
    if method == b"HEAD" or status < 200 or status in (204, 304):
        framing = 0
    connection = fields.get(b"connection", b"").lower()
    names = _names(connection)
    if names:
        rest = _without(rest, names)
    if status >= 200 and not _is_data(rest):
        rest = _GUARD + rest
    keep_alive = not _closes(connection, names) and (not is_http_10 or b"keep-alive" in connection)
    return ReplyHead(
        status, head[: head.index(b"\r\n") + 2], fields, rest, framing, keep_alive and framing != UNTIL_CLOSE
    )


def error_head(error: GymQueueError) -> bytes:
    """Return the status line of an error's reply."""
    return b"HTTP/1.1 %d %b\r\n" % (error.status, error.code.replace("_", " ").title().encode())


def _split(block: bytes, ours: frozenset[bytes]) -> tuple[dict[bytes, bytes], bytes]:
    """Return the headers read here, and the lines of the others."""
    fields: dict[bytes, bytes] = {}
    kept = []
    lines = block.split(b"\r\n")
    if len(lines) > MAX_FIELDS:
        raise TooLarge(f"the head has more than {MAX_FIELDS} headers: send fewer")
    for line in lines:
        name = line[: line.find(b":")].lower()
        if name not in ours:
            kept.append(line)
            continue
        value = line[len(name) + 1 :].strip(b" \t")
        if name not in fields:
            fields[name] = value
        elif name in _SINGLE:
            raise RequestMalformed(f"the header {name.decode()} comes twice: send it once")
        else:
            fields[name] += b", " + value
        if name == b"expect":
            kept.append(line)
    return fields, b"\r\n".join(kept)


def _is_data(rest: bytes) -> bool:
    """Return whether a reply's headers say, once and clearly, that it is what programs read."""
    kinds = [line for line in rest.split(b"\r\n") if line[:13].lower() == b"content-type:"]
    return len(kinds) == 1 and _DATA.fullmatch(kinds[0]) is not None


def _framing(fields: dict[bytes, bytes], *, is_http_10: bool, default: int) -> int:
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise RequestMalformed(
                "Content-Length and Transfer-Encoding contradict each other: send one of them"
            )
        if coding.lower() != b"chunked" or is_http_10:
            raise RequestMalformed(
                "the Transfer-Encoding is not chunked alone: send the body as it is, or chunked"
            )
        return CHUNKED
    if length is None:
        return default
    if not _LENGTH.fullmatch(length):
        raise RequestMalformed("the Content-Length is not one number: send the body's size in bytes")
    return int(length)


def _check_host(host: bytes | None, *, needed: bool) -> None:
    if host is None:
        if needed:
            raise RequestMalformed("the request has no Host header: send one")
        return
    match = _HOST.fullmatch(host)
    try:
        if match is not None and (match[1] is None or IPv6Address(match[1].decode())):
            return
    except ValueError:
        pass  # brackets around what is no address: told below
    raise RequestMalformed("the Host header is not a host name or address: send the server's")


def _names(connection: bytes) -> frozenset[bytes]:
    """Return the options of a Connection header, in lower case; none for the two usual ones alone."""
    if connection in (b"", b"keep-alive", b"close"):
        return frozenset()
    return frozenset(name.strip(b" \t") for name in connection.split(b",")) - {b""}


def _closes(connection: bytes, names: frozenset[bytes]) -> bool:
    return connection == b"close" or b"close" in names


def _without(rest: bytes, names: frozenset[bytes]) -> bytes:
    """Drop the headers that a Connection header names as being of one connection alone."""
    lines = rest.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in names)
