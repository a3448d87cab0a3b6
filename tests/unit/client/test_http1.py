from __future__ import annotations

import httptools
import pytest

from gym_queue.client.calls import Call
from gym_queue.client.http1 import ReplyReader, make_origin, write_request
from gym_queue.client.retry import SAFE

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Request-ID: r\r\nContent-Type: a/b\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n"
UNFRAMED = b"HTTP/1.0 200 OK\r\n\r\nhi"


def read(*parts: bytes) -> ReplyReader:
    reader = ReplyReader()
    for part in parts:
        reader.feed(part)
    return reader


def test_a_request_is_written_with_its_query_token_and_length():
    origin = make_origin("https://h:8/base", " secret ")
    sent = write_request(origin, Call("POST", "/x", 1.0, SAFE, b"{}", (("path", "/a b"),)), "r1").decode()
    head, _, body = sent.partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    assert (first, body) == ("POST /base/x?path=%2Fa+b HTTP/1.1", "{}")
    assert lines[0] == "Host: h:8"
    assert {"Authorization: Bearer secret", "Content-Length: 2", "X-Request-ID: r1"} <= set(lines)
    assert (origin.host, origin.port, origin.secure) == ("h", 8, True)


@pytest.mark.parametrize(("url", "port"), [("http://h", 80), ("https://h", 443), ("http://[::1]:7", 7)])
def test_the_port_is_the_urls_or_its_schemes(url, port):
    assert make_origin(url, None).port == port


@pytest.mark.parametrize("sent", [WHOLE, CHUNKED])
@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_reply_is_read_from_pieces_of_any_size(sent, piece):
    reader = read(*(sent[start : start + piece] for start in range(0, len(sent), piece)))
    assert (reader.complete, reader.reusable, reader.reply("q").body) == (True, True, b"hi")


def test_what_the_head_says_is_in_the_reply():
    reply = read(WHOLE).reply("ours")
    assert (reply.status, reply.content_type, reply.request_id) == (200, "a/b", "r")
    assert read(CHUNKED).reply("ours").request_id == "ours"


def test_the_body_can_be_taken_as_it_comes():
    reader = read(WHOLE[:-1])
    assert (reader.take(), reader.complete) == (b"h", False)
    reader.feed(WHOLE[-1:])
    assert (reader.take(), reader.take(), reader.complete) == (b"i", b"", True)


def test_an_interim_reply_is_no_reply():
    reader = read(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not reader.complete
    reader.feed(WHOLE)
    assert reader.reply("").status == 200


def test_a_reply_without_a_length_ends_with_its_connection_which_is_not_used_again():
    reader = read(UNFRAMED)
    assert not reader.complete
    reader.feed(b"")
    assert (reader.complete, reader.reusable, reader.reply("").body) == (True, False, b"hi")


@pytest.mark.parametrize("sent", [b"", WHOLE[:10], WHOLE[:-1], CHUNKED[:-3]])
def test_an_end_in_the_middle_is_a_connection_error(sent):
    reader = read(sent) if sent else ReplyReader()
    with pytest.raises(ConnectionError):
        reader.feed(b"")


@pytest.mark.parametrize("more", [b"HTTP/1.1 200 OK\r\n", WHOLE])
def test_a_connection_that_holds_more_than_the_reply_is_not_used_again(more):
    reader = read(WHOLE + more)
    assert (reader.reusable, reader.reply("").body) == (False, b"hi")


def test_a_connection_that_the_server_closes_is_not_used_again():
    reader = read(WHOLE.replace(b"Content-Type: a/b", b"Connection: close"))
    assert (reader.complete, reader.reusable) == (True, False)


@pytest.mark.parametrize("junk", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"])
def test_what_is_not_http_is_refused(junk):
    with pytest.raises(httptools.HttpParserError):
        read(junk)
