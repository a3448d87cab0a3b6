"""Heads of HTTP/1 messages, parsed once and strictly: what two parsers could read in two ways is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gym_queue.errors import GymQueueError, RequestMalformed, TooLarge

MAX_HEAD_BYTES = 64 << 10
CHUNKED = -1
"""Framing: the body comes in chunks."""
UNTIL_CLOSE = -2
"""Framing: the body ends with the connection (replies only)."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELDS = rb"((?:" + _TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*)\r\n"
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([!-~]+) HTTP/1\.([01])\r\n" + _FIELDS)
_REPLY = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?\r\n" + _FIELDS)
_OURS = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer transfer-encoding"
    b" upgrade content-length authorization cookie host expect x-request-id x-master-timestamp".split()
)
"""Headers that are read here; those of one connection alone (RFC 9110, section 7.6.1) are not sent on."""
_LENGTH = re.compile(rb"[0-9]{1,18}")
_LINE_WITHOUT_CR = re.compile(rb"(?:^|[^\r])\n")
_SENT_ON = frozenset({b"expect"})
_SINGLE = frozenset({b"host", b"content-length", b"transfer-encoding", b"authorization"})


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


def head_end(data: bytes | bytearray) -> int:
    """Return where the head ends, 0 when more of it must come.

    Raises:
        TooLarge: It is longer than any head should be.
        RequestMalformed: A line ends without its carriage return.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end >= 0:
        return end + 4
    if len(data) >= MAX_HEAD_BYTES:
        raise TooLarge(f"the request's head is longer than {MAX_HEAD_BYTES >> 10} KiB: send less in headers")
    if b"\n" in data and _LINE_WITHOUT_CR.search(data):
        raise RequestMalformed("a header line ends without a carriage return: end lines with CR LF")
    return 0


def parse_request(head: bytes) -> RequestHead:
    """Parse a request's head.

    Args:
        head: Up to and with its empty line.

    Raises:
        RequestMalformed: It is not HTTP/1, or says two things about where its body ends.
    """
    match = _REQUEST.fullmatch(head)
    if match is None:
        raise RequestMalformed("the request's head is not HTTP/1: check its request line and headers")
    method, target, minor, block = match.groups()
    fields, rest = _split(block)
    is_http_10 = minor == b"0"
    if not is_http_10 and b"host" not in fields:
        raise RequestMalformed("the request has no Host header: send one")
    connection = fields.get(b"connection", b"").lower()
    if connection not in (b"", b"keep-alive", b"close"):
        rest = _without(rest, connection)
    return RequestHead(
        method,
        target,
        is_http_10,
        fields,
        rest,
        _framing(fields, is_http_10=is_http_10, default=0),
        keep_alive=(b"keep-alive" in connection) if is_http_10 else b"close" not in connection,
        is_upgrade=b"upgrade" in fields and b"upgrade" in connection,
    )


def parse_reply(head: bytes, *, method: bytes) -> ReplyHead:
    """Parse a reply's head.

    Args:
        head: Up to and with its empty line.
        method: Of the request: replies to HEAD have no body.

    Raises:
        RequestMalformed: It is not HTTP/1; the caller says whose fault that is.
    """
    match = _REPLY.fullmatch(head)
    if match is None:
        raise RequestMalformed("the worker's reply is not HTTP/1")
    minor, code, block = match.groups()
    status = int(code)
    fields, rest = _split(block)
    framing = _framing(fields, is_http_10=False, default=UNTIL_CLOSE)
    if method == b"HEAD" or status < 200 or status in (204, 304):
        framing = 0
    connection = fields.get(b"connection", b"").lower()
    if connection not in (b"", b"keep-alive", b"close"):
        rest = _without(rest, connection)
    keep_alive = b"close" not in connection and (minor == b"1" or b"keep-alive" in connection)
    return ReplyHead(
        status, head[: head.index(b"\r\n") + 2], fields, rest, framing, keep_alive and framing != UNTIL_CLOSE
    )


def _split(block: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """Return the headers read here, and the lines of the others."""
    fields: dict[bytes, bytes] = {}
    kept = []
    for line in block.split(b"\r\n"):
        name = line[: line.find(b":")].lower()
        if name not in _OURS:
            kept.append(line)
            continue
        value = line[len(name) + 1 :].strip(b" \t")
        if name not in fields:
            fields[name] = value
        elif name in _SINGLE:
            raise RequestMalformed(f"the header {name.decode()} comes twice: send it once")
        else:
            fields[name] += b", " + value
        if name in _SENT_ON:
            kept.append(line)
    return fields, b"\r\n".join(kept)


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


def _without(rest: bytes, connection: bytes) -> bytes:
    """Drop the headers that a Connection header names as being of one connection alone."""
    names = {name.strip() for name in connection.split(b",")}
    lines = rest.split(b"\r\n")
    return b"\r\n".join(line for line in lines if line.partition(b":")[0].lower() not in names)


def error_head(error: GymQueueError) -> bytes:
    """Return the status line of an error's reply."""
    return b"HTTP/1.1 %d %s\r\n" % (error.status, error.code.replace("_", " ").title().encode())
