"""A memo must never read a head in another way than the strict parser."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gym_queue.errors import GymQueueError
from gym_queue.master.dataplane.head import RequestHead, parse_reply, parse_request
from gym_queue.master.dataplane.memo import MAX_KEPT_BYTES, read_reply, read_request, reply_memo, request_memo

BODY = b"GET /other HTTP/1.1\r\nHost: m\r\n\r\n"


def request(*lines: bytes, first: bytes = b"POST /a HTTP/1.1") -> bytes:
    return b"\r\n".join((first, b"Host: m", *lines, b"", b""))


def reply(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join((first, *lines, b"", b""))


values = st.one_of(
    st.sampled_from(
        [b"0", b"3", b"007", b"1 2", b"-1", b"chunked", b"close", b"keep-alive", b"id-1", b"a\x00b", b""]
    ),
    st.text("abc-:, \t19", max_size=12).map(str.encode),
)
names = st.sampled_from(
    b"Content-Length content-length X-Request-ID Idempotency-Key Connection X-Other Date Transfer-Encoding Upgrade"
    b" Expect X-Worker-Processing-Time Authorization".split()
)
lines = st.lists(st.builds(lambda name, value: name + b": " + value, names, values), max_size=5)
firsts = st.sampled_from(
    [b"POST /a HTTP/1.1", b"GET /b HTTP/1.1", b"GET /b HTTP/1.0", b"BREW /b HTTP/1.1", b"x"]
)
statuses = st.sampled_from([b"200 OK", b"204 No Content", b"304 Not Modified", b"404 ", b"100 Continue"])


def outcome(read):
    try:
        return read()
    except GymQueueError as error:
        return type(error), str(error)


@given(st.lists(st.tuples(firsts, lines), min_size=2, max_size=4))
def test_requests_of_one_connection_read_as_if_each_came_alone(heads) -> None:
    memo = request_memo()
    for first, fields in heads:
        raw = request(*fields, first=first)
        alone = outcome(lambda raw=raw: (parse_request(raw), len(raw)))
        assert outcome(lambda raw=raw: read_request(raw + BODY, memo)) == alone


@given(st.lists(st.tuples(statuses, lines, st.sampled_from([b"GET", b"HEAD"])), min_size=2, max_size=4))
def test_replies_of_one_connection_read_as_if_each_came_alone(heads) -> None:
    memo = reply_memo()
    for status, fields, method in heads:
        raw = reply(*fields, first=b"HTTP/1.1 " + status)
        alone = outcome(lambda raw=raw, method=method: (parse_reply(raw, method=method), len(raw)))
        assert outcome(lambda raw=raw, method=method: read_reply(raw + BODY, memo, method)) == alone


def test_a_head_like_the_last_is_recalled_with_its_own_values() -> None:
    memo = request_memo()
    read_request(request(b"Content-Length: 2", b"X-Other: o"), memo)
    kept = memo.head
    found = read_request(request(b"Content-Length: 31", b"X-Other: o", first=b"GET /b?c HTTP/1.1"), memo)
    assert memo.head is kept, "the strict parser was not needed"
    assert found is not None
    assert (found[0].method, found[0].target, found[0].framing) == (b"GET", b"/b?c", 31)
    assert found[0].rest == b"X-Other: o\r\n"


@pytest.mark.parametrize("size", range(1, 60))
def test_a_head_that_is_not_whole_is_waited_for(size: int) -> None:
    memo = request_memo()
    raw = request(b"Content-Length: 2", b"X-Other: other")
    read_request(raw, memo)
    assert read_request(raw[:size], memo) is None


def test_another_token_is_another_head() -> None:
    memo = request_memo()
    read_request(request(b"Authorization: Bearer one"), memo)
    found = read_request(request(b"Authorization: Bearer two"), memo)
    assert found is not None
    assert found[0].fields[b"authorization"] == b"Bearer two"


def test_huge_heads_are_not_kept() -> None:
    memo = request_memo()
    read_request(request(b"X-Huge: " + b"h" * MAX_KEPT_BYTES), memo)
    assert memo.head is None


def test_a_head_that_is_kept_forgets_the_one_before() -> None:
    memo = request_memo()
    for number in range(3):
        found = read_request(request(b"X-Number: %d" % number), memo)
        assert found is not None
        assert isinstance(memo.head, RequestHead)
        assert found[0].rest == memo.head.rest == b"X-Number: %d\r\n" % number
