from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.errors import RequestMalformed
from gym_queue.master.dataplane.framing import ChunkedBody, body_of
from gym_queue.master.dataplane.head import CHUNKED, UNTIL_CLOSE


def feed(framing: int, data: bytes, cuts: list[int]) -> tuple[int, bool]:
    """Feed a body in pieces; return how many bytes were its, and whether it ended."""
    body, taken, at = body_of(framing), 0, 0
    for cut in [*sorted(cut % (len(data) + 1) for cut in cuts), len(data)]:
        got = body.take(data[at:cut])
        taken += got
        if got < cut - at:
            break
        at = cut
    return taken, body.is_done


def chunked(parts: list[bytes], *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(part), extension, part) for part in parts if part)
    return chunks + b"0\r\n" + trailer + b"\r\n"


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(st.binary(max_size=50), st.integers(0, 50), CUTS)
def test_a_length_takes_so_many_bytes(data: bytes, size: int, cuts: list[int]) -> None:
    assert feed(size, data, cuts) == (min(size, len(data)), len(data) >= size)


@given(st.lists(st.binary(max_size=40), max_size=6), st.binary(max_size=20), CUTS)
def test_chunks_end_at_the_same_byte_however_they_are_cut(
    parts: list[bytes], more: bytes, cuts: list[int]
) -> None:
    whole = chunked(parts, extension=b";a=b", trailer=b"X-Sum: 1\r\n")
    assert feed(CHUNKED, whole + more, cuts) == (len(whole), True)


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 1000))
def test_a_chunked_body_that_is_not_whole_has_not_ended(parts: list[bytes], cut: int) -> None:
    whole = chunked(parts)
    assert feed(CHUNKED, whole[: cut % len(whole)], []) == (cut % len(whole), False)


@given(st.binary(max_size=50), CUTS)
def test_a_body_until_close_takes_all(data: bytes, cuts: list[int]) -> None:
    assert feed(UNTIL_CLOSE, data, cuts) == (len(data), False)


def test_a_body_starts_where_it_is_told() -> None:
    body = ChunkedBody()
    assert body.take(b"head5\r\nhello\r\n0\r\n\r\nmore", 4) == len(b"5\r\nhello\r\n0\r\n\r\n")
    assert body.is_done


class _Parsed:
    def __init__(self) -> None:
        self.ended = False

    def on_message_complete(self) -> None:
        self.ended = True


_junk = st.lists(
    st.sampled_from(
        [
            b"0",
            b"1",
            b"a",
            b"F",
            b"\r",
            b"\n",
            b"\r\n",
            b"\r\n\r\n",
            b";",
            b" ",
            b"x",
            b":",
            b"-",
            b"\0",
            b"5\r\nhello\r\n",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(_junk)
def test_what_is_taken_for_a_whole_body_is_one_for_uvicorns_parser_too(data: bytes) -> None:
    body = ChunkedBody()
    try:
        taken = body.take(data)
    except RequestMalformed:
        return
    if not body.is_done:
        return
    parsed = _Parsed()
    parser = httptools.HttpRequestParser(parsed)
    head = b"POST / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n"
    try:
        parser.feed_data(head + data[: taken - 1])
        assert not parsed.ended
        parser.feed_data(data[taken - 1 : taken])
    except httptools.HttpParserError:
        return  # refused there: nothing is read in two ways
    assert parsed.ended


@pytest.mark.parametrize(
    "bad", [b"\r\n", b"g\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1 \r\n", b"1\n", b"f" * 16 + b"\r\n"]
)
def test_a_size_that_is_none_is_refused(bad: bytes) -> None:
    with pytest.raises(RequestMalformed):
        ChunkedBody().take(bad)


def test_bytes_after_a_chunk_are_refused_before_their_line_ends() -> None:
    with pytest.raises(RequestMalformed):
        ChunkedBody().take(b"1\r\nax")
