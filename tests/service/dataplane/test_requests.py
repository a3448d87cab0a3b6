"""Requests of every shape, on the forwarded path and on the app's: the right answer, and nothing left behind."""

from __future__ import annotations

import pytest

from tests.service.dataplane.rig import AUTH, ENV, STEP, Master, get, post

APP = b"/workers/drain"
PATHS = {"forwarded": STEP, "app": APP}
HEAD = b"POST %T HTTP/1.1\r\nHost: m\r\n" + AUTH
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"

REFUSED: dict[str, tuple[bytes, int]] = {
    "no method": (b" %T HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "two spaces": (b"GET  %T HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "a tab for a space": (b"GET\t%T HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "a trailing space": (b"GET %T HTTP/1.1 \r\nHost: m\r\n\r\n", 400),
    "a space in the target": (b"GET %T a HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "HTTP/0.9": (b"GET %T\r\n", 400),
    "HTTP/1.2": (b"GET %T HTTP/1.2\r\nHost: m\r\n\r\n", 400),
    "HTTP/2.0": (b"GET %T HTTP/2.0\r\nHost: m\r\n\r\n", 400),
    "HTTP/11": (b"GET %T HTTP/11\r\nHost: m\r\n\r\n", 400),
    "http/1.1": (b"GET %T http/1.1\r\nHost: m\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "bare LF": (b"GET %T HTTP/1.1\nHost: m\n\n", 400),
    "one bare LF": (b"GET %T HTTP/1.1\r\nHost: m\nA: b\r\n\r\n", 400),
    "bare CR in a value": (HEAD + b"A: b\rc\r\n\r\n", 400),
    "bare CR ends a line": (HEAD + b"A: b\rC: d\r\n\r\n", 400),
    "NUL in a name": (HEAD + b"A\0: b\r\n\r\n", 400),
    "NUL in a value": (HEAD + b"A: b\0\r\n\r\n", 400),
    "control byte in a value": (HEAD + b"A: \x01\r\n\r\n", 400),
    "DEL in a value": (HEAD + b"A: \x7f\r\n\r\n", 400),
    "control byte in the target": (b"GET %T\x01 HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "NUL in the target": (b"GET %T\0 HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "non-ASCII target": (b"GET %T\xc3\xa9 HTTP/1.1\r\nHost: m\r\n\r\n", 400),
    "non-ASCII name": (HEAD + b"\xc3\xa9: b\r\n\r\n", 400),
    "obs-fold": (HEAD + b"A: b\r\n c\r\n\r\n", 400),
    "obs-fold at the start": (b"GET %T HTTP/1.1\r\n Host: m\r\n\r\n", 400),
    "space before the colon": (HEAD + b"A : b\r\n\r\n", 400),
    "no colon": (HEAD + b"A\r\n\r\n", 400),
    "no name": (HEAD + b": b\r\n\r\n", 400),
    "no Host": (b"GET %T HTTP/1.1\r\n" + AUTH + b"\r\n", 400),
    "two Hosts": (HEAD + b"Host: m\r\n\r\n", 400),
    "Host with a path": (b"GET %T HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "Host with a broken bracket": (b"GET %T HTTP/1.1\r\nHost: [::\r\n\r\n", 400),
    "Host in brackets, no address": (b"GET %T HTTP/1.1\r\nHost: [1.2.3]\r\n\r\n", 400),
    "Host with an @": (b"GET %T HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "two Authorizations": (HEAD + AUTH + b"\r\n", 400),
    "conflicting lengths": (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
    "equal lengths": (HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    "listed lengths": (HEAD + b"Content-Length: 5, 5\r\n\r\nhello", 400),
    "length +5": (HEAD + b"Content-Length: +5\r\n\r\nhello", 400),
    "length 0x5": (HEAD + b"Content-Length: 0x5\r\n\r\nhello", 400),
    "length -1": (HEAD + b"Content-Length: -1\r\n\r\n", 400),
    "length 5.0": (HEAD + b"Content-Length: 5.0\r\n\r\nhello", 400),
    "length 1_0": (HEAD + b"Content-Length: 1_0\r\n\r\n0123456789", 400),
    "length empty": (HEAD + b"Content-Length:\r\n\r\n", 400),
    "length of 19 digits": (HEAD + b"Content-Length: 9999999999999999999\r\n\r\n", 400),
    "length and chunked": (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked and length": (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "identity": (HEAD + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "chunked, gzip": (HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n", 400),
    "gzip, chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "xchunked": (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
    "chunked with a vertical tab": (HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "chunked twice": (
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunked, then identity": (
        HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        400,
    ),
    "chunked on HTTP/1.0": (
        b"POST %T HTTP/1.0\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    "chunk size junk": (CHUNKED + b"xyz\r\n", 400),
    "chunk size empty": (CHUNKED + b"\r\n", 400),
    "chunk size negative": (CHUNKED + b"-1\r\n", 400),
    "chunk size 0x": (CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk size overflow": (CHUNKED + b"FFFFFFFFFFFFFFFFF\r\n", 400),
    "chunk size with a space": (CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n", 400),
    "chunk size line with bare LF": (CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    "no CRLF after a chunk": (CHUNKED + b"5\r\nhelloXX", 400),
    "bare LF after a chunk": (CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400),
    "a chunk's line too long": (CHUNKED + b"5;" + b"x" * 5000, 400),
    "bad trailer": (CHUNKED + b"0\r\nno colon\r\n\r\n", 400),
    "a trailer that frames": (CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n", 400),
    "a trailer that authorizes": (CHUNKED + b"0\r\nAuthorization: Bearer x\r\n\r\n", 400),
    "trailers too big": (CHUNKED + b"0\r\n" + (b"A: " + b"x" * 4000 + b"\r\n") * 20, 400),
    "head of 64 KiB": (HEAD + b"A: " + b"x" * 65536, 413),
    "a very long target": (b"GET %T?" + b"x" * 65536, 413),
    "too many headers": (HEAD + b"A: b\r\n" * 300 + b"\r\n", 413),
    "unknown method": (b"BREW %T HTTP/1.1\r\nHost: m\r\n\r\n", 405),
    "method in lower case": (b"get %T HTTP/1.1\r\nHost: m\r\n\r\n", 405),
    "TRACE": (b"TRACE %T HTTP/1.1\r\nHost: m\r\n\r\n", 405),
    "CONNECT": (b"CONNECT m:443 HTTP/1.1\r\nHost: m:443\r\n\r\n", 405),
    "authority form": (b"GET m:80 HTTP/1.1\r\nHost: m\r\n" + AUTH + b"\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\r\n", 400),
}
CODES = {400: "malformed", 405: "method_not_allowed", 413: "too_large"}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_plain_http_is_refused_and_hung_up_on(master: Master, case: str, path: str) -> None:
    request, status = REFUSED[case]
    with master.client(request.replace(b"%T", PATHS[path])) as client:
        reply = client.message()
        assert (reply.status, reply.error()["code"]) == (status, CODES[status])
        assert reply.one("connection") == b"close"
        assert client.is_hung_up()
    assert master.ask(post(STEP)).status == 200


TAKEN: dict[str, tuple[bytes, int, int]] = {
    "a body": (post(b"%T", b'{"worker_id": "w1"}'), 200, 200),
    "no body with POST": (HEAD + b"\r\n", 200, 422),
    "length 0": (HEAD + EMPTY, 200, 422),
    "length 019": (HEAD + b'Content-Length: 019\r\n\r\n{"worker_id": "w1"}', 200, 200),
    "chunked": (CHUNKED + b'13\r\n{"worker_id": "w1"}\r\n0\r\n\r\n', 200, 200),
    "Chunked": (
        HEAD + b'Transfer-Encoding: Chunked\r\n\r\n13\r\n{"worker_id": "w1"}\r\n0\r\n\r\n',
        200,
        200,
    ),
    "many chunks": (CHUNKED + b"1\r\n{\r\n12\r\n" + b'"worker_id": "w1"}\r\n000\r\n\r\n', 200, 200),
    "chunk extensions": (CHUNKED + b'13;a="b";c\r\n{"worker_id": "w1"}\r\n0;d\r\n\r\n', 200, 200),
    "trailers": (CHUNKED + b'13\r\n{"worker_id": "w1"}\r\n0\r\nA: b\r\nC: d\r\n\r\n', 200, 200),
    "GET with a body": (b"GET %T HTTP/1.1\r\nHost: m\r\n" + AUTH + b"Content-Length: 2\r\n\r\n{}", 200, 405),
    "HEAD": (b"HEAD %T HTTP/1.1\r\nHost: m\r\n" + AUTH + b"\r\n", 200, 405),
    "OPTIONS": (b"OPTIONS %T HTTP/1.1\r\nHost: m\r\n" + AUTH + b"\r\n", 200, 405),
    "an empty line first": (b"\r\n" + post(b"%T", b'{"worker_id": "w1"}'), 200, 200),
    "an IPv6 Host": (b"GET %T HTTP/1.1\r\nHost: [::1]:5800\r\n" + AUTH + b"\r\n", 200, 405),
    "a Latin-1 value": (HEAD + b"A: \xe9\r\n" + EMPTY, 200, 422),
    "a tab in a value": (HEAD + b"A:\tb\tc\t\r\n" + EMPTY, 200, 422),
    "a query": (post(b"%T?a=%20b&c=/../d", b'{"worker_id": "w1"}'), 200, 200),
    "HTTP/1.0": (b"GET %T HTTP/1.0\r\n" + AUTH + b"\r\n", 200, 405),
    "an upgrade to HTTP/2": (
        HEAD + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n" + EMPTY,
        200,
        422,
    ),
    "Connection with an empty option": (
        HEAD + b"Connection: x-a,,\r\nX-A: 1\r\nX-B: 2\r\n" + EMPTY,
        200,
        422,
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("case", TAKEN)
@pytest.mark.parametrize("piece", [0, 1, 7])
def test_what_is_plain_http_is_answered_in_whatever_pieces_it_comes(
    master: Master, case: str, path: str, piece: int
) -> None:
    request, *statuses = TAKEN[case]
    request = request.replace(b"%T", PATHS[path])
    with master.client() as client:
        for at in range(0, len(request), piece or len(request)):
            client.send(request[at : at + (piece or len(request))])
        reply = client.message(has_body=not request.startswith(b"HEAD"))
        assert reply.status == statuses[path == "app"]


TARGETS: dict[bytes, int] = {
    b"*": 404,
    b"http://m" + STEP: 422,
    b"http://m": 400,
    f"/envs/{ENV.replace('-', '%2D')}/step".encode(): 422,
    f"/envs/{ENV}%2Fstep".encode(): 422,
    f"/envs/{ENV}/../x/step".encode(): 422,
    f"/envs/{ENV}/%2e%2e/step".encode(): 422,
    f"/envs/./{ENV}/step".encode(): 404,
    f"/envs/{ENV}/step#x".encode(): 422,
    f"//envs/{ENV}/step".encode(): 404,
    b"/envs/no-such-id/step": 404,
    b"/envs//step": 404,
    b"/envs/%ff/step": 404,
    b"/envs/%00/step": 404,
    b"/envs/" + b"x" * 60_000 + b"/step": 404,
    b"/no/such/path": 404,
}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:60].decode())
def test_targets_that_are_not_a_routed_call_never_reach_a_worker(
    master: Master, worker, target: bytes
) -> None:
    reply = master.ask(post(target))
    assert reply.status == TARGETS[target]
    assert reply.error()["error"]
    assert worker.connections == 0


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("header", "status"),
    [
        (b"", 401),
        (b"Authorization: Bearer wrong\r\n", 401),
        (b"Authorization: Bearer\r\n", 401),
        (b"Authorization:\r\n", 401),
        (b"Authorization: Basic dGhlLWNsdXN0ZXItdG9rZW4=\r\n", 401),
        (b"Authorization: Bearer \xff\xfe\r\n", 401),
        (b"Authorization: the-cluster-token\r\n", 401),
        (b"Authorization: bearer the-cluster-token\r\n", 200),
        (b"Authorization: BEARER  the-cluster-token \r\n", 200),
        (b"Cookie: gym_queue_token=the-cluster-token\r\n", 401),
    ],
)
def test_a_post_needs_the_token_in_its_header(master: Master, path: str, header: bytes, status: int) -> None:
    body = b'{"worker_id": "w1"}'
    reply = master.ask(
        b"POST %b HTTP/1.1\r\nHost: m\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b"
        % (PATHS[path], len(body), header, body)
    )
    assert reply.status == status
    if status == 401:
        assert reply.error()["code"] == "unauthorized"
        assert (reply.one("www-authenticate") or b"").startswith(b"Bearer")


@pytest.mark.parametrize("path", [STEP, b"/workers/list"])
@pytest.mark.parametrize(("value", "status"), [(b"the-cluster-token", 200), (b"wrong", 401)])
def test_a_get_may_carry_the_token_in_a_cookie(
    master: Master, path: bytes, value: bytes, status: int
) -> None:
    cookie = b"Cookie: a=b; gym_queue_token=" + value + b"\r\n\r\n"
    assert master.ask(b"GET " + path + b" HTTP/1.1\r\nHost: m\r\n" + cookie).status == status


def test_without_a_token_set_everybody_is_let_in(start_master) -> None:
    reply = start_master(token=None).ask(b"GET " + STEP + b" HTTP/1.1\r\nHost: m\r\n\r\n")
    assert reply.status == 200


def test_a_call_of_an_environment_that_was_lost_is_told_apart(master: Master) -> None:
    master.do(lambda: master.routes.remove("lost-one", "its worker burnt"))
    reply = master.ask(get(b"/envs/lost-one/episode_dir"))
    assert (reply.status, reply.error()["code"]) == (410, "env_lost")


def test_a_body_larger_than_the_app_takes_is_refused(master: Master) -> None:
    reply = master.ask(HEAD.replace(b"%T", APP) + b"Content-Length: 99999999\r\n\r\n")
    assert (reply.status, reply.error()["code"]) == (413, "too_large")


def test_a_chunked_body_that_grows_larger_than_the_app_takes_is_refused(master: Master) -> None:
    with master.client(CHUNKED.replace(b"%T", APP) + b"3000000\r\n") as client:
        for _ in range(33):
            client.send(b"x" * (1 << 20))
        reply = client.message()
    assert (reply.status, reply.error()["code"]) == (413, "too_large")
