"""Heads read by comparing them with the last one: a connection that stays says nearly the same again."""

from __future__ import annotations

import re
from typing import Generic, TypeVar

from gym_queue.master.dataplane.head import (
    MAX_HEAD_BYTES,
    METHODS,
    REPLY_VARIES,
    REQUEST_LINE,
    REQUEST_VARIES,
    STATUS_LINE,
    ReplyHead,
    RequestHead,
    head_end,
    parse_reply,
    parse_request,
)

Head = TypeVar("Head", RequestHead, ReplyHead)

MAX_KEPT_BYTES = 4096
_VALUE = re.compile(rb"[!-~](?:[ -~]{0,126}[!-~])?(?=\r\n)")
_MAX_DIGITS = 18


class HeadMemo(Generic[Head]):
    """The last plain head of a connection, cut where the values of some headers stand.

    Args:
        varies: Names of headers, in lower case, whose values may differ; all else must be the same to the byte.
    """

    __slots__ = ("_parts", "_tail", "_varies", "head")

    def __init__(self, varies: frozenset[bytes]) -> None:
        self._varies = varies
        self._parts: list[tuple[bytes, bytes]] = []
        self._tail = b""
        self.head: Head | None = None
        """What was kept; None recalls nothing."""

    def keep(self, lines: bytes, head: Head) -> None:
        """Remember a head that the strict parser took.

        Args:
            lines: From where ``recall`` will compare to the end of the empty line.
            head: Parsed from them.
        """
        self._parts, same = [], b""
        for line in lines[:-4].split(b"\r\n"):
            name, colon, value = line.partition(b":")
            if colon and name.lower() in self._varies:
                start = len(line) - len(value.lstrip(b" \t"))
                self._parts.append((same + line[:start], name.lower()))
                same = line[len(line.rstrip(b" \t")) :] + b"\r\n"
            else:
                same += line + b"\r\n"
        self._tail = same + b"\r\n"
        comes_once = len({name for _, name in self._parts}) == len(self._parts)
        self.head = head if comes_once and len(lines) <= MAX_KEPT_BYTES else None

    def recall(self, data: bytes, at: int) -> tuple[int, dict[bytes, bytes]] | None:
        """Return where the head ends and the varying values; None when it is another head, or not whole.

        Args:
            data: What has come.
            at: Where the lines start.
        """
        values = {}
        for part, name in self._parts:
            if not data.startswith(part, at):
                return None
            match = _VALUE.match(data, at + len(part))
            if match is None:
                return None
            values[name] = match[0]
            at = match.end()
        return (at + len(self._tail), values) if data.startswith(self._tail, at) else None


def request_memo() -> HeadMemo[RequestHead]:
    """Return a memo for one client's connection."""
    return HeadMemo(REQUEST_VARIES)


def reply_memo() -> HeadMemo[ReplyHead]:
    """Return a memo for one worker's connection."""
    return HeadMemo(REPLY_VARIES)


def read_request(data: bytes, memo: HeadMemo[RequestHead]) -> tuple[RequestHead, int] | None:
    """Read a request's head; the request line is parsed always, the headers when they are new.

    Args:
        data: What has come.
        memo: Of the connection.

    Returns:
        The head and where it ends; None when more of it must come.

    Raises:
        RequestMalformed, MethodNotAllowed, TooLarge: As ``parse_request``.
    """
    line = REQUEST_LINE.match(data)
    if line is not None and memo.head is not None:
        found = memo.recall(data, line.end())
        if found is not None and line[3] == b"1" and line[1] in METHODS and found[0] < MAX_HEAD_BYTES:
            framing = _length(found[1])
            if framing is not None:
                fields = {**memo.head.fields, **found[1]}
                return memo.head.again(line[1], line[2], fields, framing), found[0]
    end = head_end(data, REQUEST_LINE)
    if not end:
        return None
    head = parse_request(data[:end])
    if line is not None and head.is_plain:
        memo.keep(data[line.end() : end], head)
    return head, end


def read_reply(data: bytes, memo: HeadMemo[ReplyHead], method: bytes) -> tuple[ReplyHead, int] | None:
    """Read a reply's head.

    Args:
        data: What has come.
        memo: Of the connection.
        method: Of the request.

    Returns:
        The head and where it ends; None when more of it must come.

    Raises:
        RequestMalformed, TooLarge: As ``parse_reply``.
    """
    kept = memo.head
    if kept is not None and method != b"HEAD":
        found = memo.recall(data, 0)
        framing = _length(found[1]) if found is not None else None
        if found is not None and framing is not None:
            fields = {**kept.fields, **found[1]}
            return kept.again(fields, framing), found[0]
    end = head_end(data, STATUS_LINE)
    if not end:
        return None
    head = parse_reply(data[:end], method=method)
    if head.is_plain and method != b"HEAD":
        memo.keep(data[:end], head)
    return head, end


def _length(values: dict[bytes, bytes]) -> int | None:
    """Return the body's size; None when what stands there is no size."""
    text = values.get(b"content-length", b"0")
    return int(text) if text.isdigit() and len(text) <= _MAX_DIGITS else None
