from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.errors import GymQueueError, MethodNotAllowed, RequestMalformed, TooLarge
from gym_queue.master.dataplane.head import (
    CHUNKED,
    MAX_HEAD_BYTES,
    REQUEST_LINE,
    STATUS_LINE,
    UNTIL_CLOSE,
    head_end,
    parse_reply,
    parse_request,
)


def request(*lines: bytes, first: bytes = b"POST /a?b HTTP/1.1") -> bytes:
    return b"\r\n".join((first, b"Host: m", *lines, b"", b""))


def reply(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((first, *lines, b"", b""))


def test_a_request_is_taken_apart() -> None:
    head = parse_request(request(b"X-One: 1", b"Content-Length: 05", b"COOKIE: c", b"x-two:2"))
    assert (head.method, head.target, head.framing) == (b"POST", b"/a?b", 5)
    assert head.fields == {b"host": b"m", b"content-length": b"05", b"cookie": b"c"}
    assert head.rest == b"X-One: 1\r\nx-two:2\r\n"
    assert (head.keep_alive, head.is_http_10, head.is_upgrade) == (True, False, False)


@pytest.mark.parametrize(
    ("version", "connection", "stays"),
    [
        (b"1", b"", True),
        (b"1", b"close", False),
        (b"1", b"CLOSE", False),
        (b"1", b"x, close", False),
        (b"1", b"not-close", True),
        (b"0", b"", False),
        (b"0", b"Keep-Alive", True),
        (b"0", b"keep-alive, close", False),
    ],
)
def test_who_stays_connected(version: bytes, connection: bytes, *, stays: bool) -> None:
    head = parse_request(request(b"Connection: " + connection, first=b"GET / HTTP/1." + version))
    assert head.keep_alive is stays


def test_headers_that_connection_names_are_dropped_and_lines_stay_whole() -> None:
    head = parse_request(request(b"Connection: X-A, ,", b"X-A: 1", b"X-B: 2"))
    assert head.rest == b"X-B: 2\r\n"


@pytest.mark.parametrize(
    ("upgrade", "connection", "is_upgrade"),
    [(b"WebSocket", b"Upgrade", True), (b"h2c", b"upgrade", False), (b"websocket", b"close", False)],
)
def test_only_a_websocket_is_an_upgrade(upgrade: bytes, connection: bytes, *, is_upgrade: bool) -> None:
    lines = b"Upgrade: " + upgrade, b"Connection: " + connection
    assert parse_request(request(*lines, first=b"GET / HTTP/1.1")).is_upgrade is is_upgrade
    assert not parse_request(request(*lines)).is_upgrade


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"A: b\r\n" * 300 + b"A: b", TooLarge),
        (b"Host: n", RequestMalformed),
        (b"Content-Length: \xb2", RequestMalformed),
    ],
)
def test_what_is_wrong_is_refused(line: bytes, error: type[GymQueueError]) -> None:
    with pytest.raises(error):
        parse_request(request(line))


def test_a_method_that_nothing_serves_is_named() -> None:
    with pytest.raises(MethodNotAllowed, match="BREW"):
        parse_request(request(first=b"BREW / HTTP/1.1"))


@pytest.mark.parametrize(
    ("lines", "method", "framing", "stays"),
    [
        ((b"Content-Length: 3",), b"GET", 3, True),
        ((b"Transfer-Encoding: chunked",), b"GET", CHUNKED, True),
        ((), b"GET", UNTIL_CLOSE, False),
        ((b"Content-Length: 3",), b"HEAD", 0, True),
        ((b"Connection: close", b"Content-Length: 3"), b"GET", 3, False),
    ],
)
def test_where_a_reply_ends(lines: tuple[bytes, ...], method: bytes, framing: int, *, stays: bool) -> None:
    head = parse_reply(reply(*lines), method=method)
    assert (head.status, head.framing, head.keep_alive) == (200, framing, stays)


@pytest.mark.parametrize("status", [100, 204, 304])
def test_replies_that_have_no_body(status: int) -> None:
    head = parse_reply(reply(b"Content-Length: 3", first=b"HTTP/1.1 %d" % status), method=b"GET")
    assert head.framing == 0


def test_a_head_ends_with_its_empty_line() -> None:
    whole = request()
    assert head_end(whole + b"body\r\n\r\n", REQUEST_LINE) == len(whole)


@given(st.integers(0, 1000))
def test_a_head_that_comes_in_pieces_is_waited_for(cut: int) -> None:
    whole = request(b"A: b", b"C: d")
    assert head_end(whole[: cut % len(whole)], REQUEST_LINE) == 0


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"GET / HTTP/1.1\nHost", RequestMalformed),
        (b"GET /\r\n", RequestMalformed),
        (b"x" * MAX_HEAD_BYTES, TooLarge),
        (b"A: b\r\n" * MAX_HEAD_BYTES + b"\r\n", TooLarge),
    ],
)
def test_what_can_become_no_head_is_refused_at_once(data: bytes, error: type[GymQueueError]) -> None:
    with pytest.raises(error):
        head_end(data, REQUEST_LINE)


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    for line, parse in (
        (REQUEST_LINE, parse_request),
        (STATUS_LINE, lambda d: parse_reply(d, method=b"GET")),
    ):
        with suppress(RequestMalformed, MethodNotAllowed, TooLarge):
            parse(data[: head_end(data, line)])


_line = st.tuples(
    st.sampled_from(
        [b"Host", b"Connection", b"Content-Length", b"Transfer-Encoding", b"X", b"Upgrade", b"Expect"]
    ),
    st.sampled_from([b"", b"5", b"chunked", b"X", b"close", b"a, ,b", b"[::1]", b"\xff"]),
)


@given(st.lists(_line, max_size=6))
def test_what_is_sent_on_can_be_read_back_in_one_way(pairs: list[tuple[bytes, bytes]]) -> None:
    try:
        head = parse_request(request(*(name + b": " + value for name, value in pairs)))
    except GymQueueError:
        return
    again = parse_request(b"POST /a?b HTTP/1.1\r\n" + head.rest + b"Host: m\r\n\r\n")
    assert again.rest == head.rest
    assert not head.rest or head.rest.endswith(b"\r\n")


@pytest.mark.parametrize(
    ("kinds", "is_data"),
    [
        ((b"application/json",), True),
        ((b"Application/JSON ; charset=utf-8",), True),
        ((b"application/vnd.gym-queue+msgpack",), True),
        ((), False),
        ((b"text/html",), False),
        ((b"image/svg+xml",), False),
        ((b"application/jsonx",), False),
        ((b"application/json, text/html",), False),
        ((b"application/json;x, text/html",), False),
        ((b"application/json", b"text/html"), False),
    ],
)
def test_what_is_no_data_is_nobodys_page(kinds: tuple[bytes, ...], *, is_data: bool) -> None:
    head = parse_reply(reply(b"X-A: 1", *(b"Content-Type: " + kind for kind in kinds)), method=b"GET")
    assert (b"sandbox" not in head.rest) is is_data
    assert (b"nosniff" not in head.rest) is is_data
    assert head.rest.endswith(b"\r\n")
    assert b"X-A: 1\r\n" in head.rest


@pytest.mark.parametrize("name", [b"Set-Cookie", b"refresh", b"Clear-Site-Data", b"Service-Worker-Allowed"])
def test_a_worker_sets_nothing_in_a_browser(name: bytes) -> None:
    head = parse_reply(reply(name + b": x", b"Content-Type: application/json"), method=b"GET")
    assert head.rest == b"Content-Type: application/json\r\n"
