"""Workers of every kind behind the gateway: what reaches them, and what their answers become."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import psutil
import pytest

from gym_queue.master.dataplane.limits import Limits
from tests.service.dataplane.rig import (
    AUTH,
    ENV,
    OK,
    STEP,
    TIMEOUT_S,
    TOKEN,
    WORKER_TOKEN,
    Master,
    Message,
    Peer,
    Worker,
    get,
    post,
)
from tests.waiting import wait_until

MB = 1 << 20


def replying(reply: bytes, *, end=Peer.rest):
    """Answer each connection's first request with these bytes, then end it so."""

    def script(peer: Peer) -> None:
        peer.message()
        peer.send(reply)
        end(peer)

    return script


def seen_by(master: Master, worker: Worker, request: bytes) -> Message:
    """Return what a request is when it reaches the worker."""
    seen: list[Message] = []

    def script(peer: Peer) -> None:
        seen.append(peer.message())
        peer.send(OK)

    worker.script = script
    assert master.ask(request).status == 200
    return seen[0]


def test_the_worker_sees_its_own_token_and_never_the_clients(master: Master, worker: Worker) -> None:
    seen = seen_by(master, worker, post(STEP, more=b"Cookie: gym_queue_token=x\r\nX-Own: 1\r\n"))
    assert seen.first == b"POST " + STEP + b" HTTP/1.1"
    assert seen.one("authorization") == f"Bearer {WORKER_TOKEN}".encode()
    assert seen.one("cookie") is None
    assert TOKEN.encode() not in repr(seen).encode()
    assert (seen.one("host"), seen.one("x-own")) == (worker.url[7:].encode(), b"1")
    assert abs(float(seen.one("x-master-timestamp") or 0) - time.time()) < 60
    assert len(seen.one("x-request-id") or b"") == 32


def test_headers_of_one_hop_are_dropped(master: Master, worker: Worker) -> None:
    own = b"Connection: keep-alive, X-Secret, ,\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
    more = b"Proxy-Authorization: x\r\nProxy-Connection: x\r\nUpgrade: h2c\r\nX-Master-Timestamp: 0\r\nX-Last: 1\r\n"
    seen = seen_by(master, worker, post(STEP, more=own + more))
    names = {name for name, _ in seen.fields}
    assert not names & {b"connection", b"x-secret", b"keep-alive", b"te", b"upgrade"}
    assert not names & {b"proxy-authorization", b"proxy-connection"}
    assert seen.one("x-last") == b"1"
    assert seen.one("x-master-timestamp") != b"0"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (b"a-b:c.d_1", True),
        (b"", False),
        (b"a b", False),
        (b"\xe9", False),
        (b"x" * 129, False),
        (b"<a>", False),
    ],
)
def test_a_safe_request_id_is_kept_and_a_hostile_one_replaced(
    master: Master, worker: Worker, given: bytes, kept: bool
) -> None:
    seen = seen_by(master, worker, post(STEP, more=b"X-Request-ID: %b\r\n" % given))
    assert (seen.one("x-request-id") == given) is kept


def test_two_request_ids_are_replaced_by_one(master: Master, worker: Worker) -> None:
    seen = seen_by(master, worker, post(STEP, more=b"X-Request-ID: a\r\nX-Request-ID: b\r\n"))
    assert seen.one("x-request-id") not in (b"a", b"b")


def test_a_chunked_body_arrives_as_it_was_with_its_trailers(master: Master, worker: Worker) -> None:
    body = b"5;x=y\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    got: list[bytes] = []

    def script(peer: Peer) -> None:
        assert peer.message(has_body=False).one("transfer-encoding") == b"chunked"
        got.append(peer.take(len(body)))
        peer.send(OK)

    worker.script = script
    head = b"POST " + STEP + b" HTTP/1.1\r\nHost: m\r\n" + AUTH + b"Transfer-Encoding: chunked\r\n\r\n"
    assert master.ask(head + body).status == 200
    assert got == [body]


def test_a_reply_loses_the_headers_of_its_hop(master: Master, worker: Worker) -> None:
    worker.script = replying(
        b"HTTP/1.1 200 Fine\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nX-Own: a\r\nVary: b\r\n"
        b"X-Request-ID: theirs\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    reply = master.ask(post(STEP, more=b"X-Request-ID: mine\r\n"))
    assert reply.first == b"HTTP/1.1 200 Fine"
    kept = {b"x-own", b"vary", b"x-request-id", b"content-type", b"content-length"}
    assert {name for name, _ in reply.fields} == kept
    assert reply.one("x-request-id") == b"mine"


SHAPES: dict[str, tuple[bytes, int, bytes]] = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        200,
        b"hello",
    ),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200, b""),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
    "204": (b"HTTP/1.1 204 No\r\n\r\n", 204, b""),
    "204 with a length": (b"HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", 204, b""),
    "304": (b"HTTP/1.1 304 No\r\nContent-Length: 99\r\n\r\n", 304, b""),
    "an error of its own": (b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno", 500, b"no"),
    "closing": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi", 200, b"hi"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("piecewise", [False, True])
def test_replies_of_every_shape_pass_and_keep_the_client(
    master: Master, worker: Worker, shape: str, piecewise: bool
) -> None:
    reply, status, body = SHAPES[shape]

    def script(peer: Peer) -> None:
        while True:
            peer.message()
            for at in range(len(reply)) if piecewise else [0]:
                peer.send(reply[at : at + 1] if piecewise else reply)

    worker.script = script
    with master.client() as client:
        for _ in range(2):
            client.send(post(STEP))
            answer = client.message()
            assert (answer.status, answer.body, answer.one("connection")) == (status, body, None)


def test_a_reply_until_close_is_passed_and_the_client_hung_up_on(master: Master, worker: Worker) -> None:
    worker.script = replying(b"HTTP/1.1 200 OK\r\n\r\nall of it", end=Peer.close)
    with master.client(post(STEP)) as client:
        answer = client.message()
        assert (answer.body, answer.one("connection")) == (b"all of it", b"close")


def test_interim_replies_pass_before_the_real_one(master: Master, worker: Worker) -> None:
    worker.script = replying(b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + OK)
    with master.client(post(STEP)) as client:
        assert client.message(has_body=False).one("link") == b"a"
        assert client.message(has_body=False).status == 102
        assert client.message().status == 200


def test_a_client_of_http_10_gets_no_interim_replies(master: Master, worker: Worker) -> None:
    worker.script = replying(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)
    assert master.ask(b"GET " + STEP + b" HTTP/1.0\r\n" + AUTH + b"\r\n").status == 200


def test_a_reply_to_head_has_no_body(master: Master, worker: Worker) -> None:
    with master.client() as client:
        for _ in range(2):
            client.send(get(STEP).replace(b"GET", b"HEAD", 1))
            assert client.message(has_body=False).one("content-length") is not None


BROKEN: dict[str, tuple[bytes, str]] = {
    "junk": (b"HELLO\r\n", "bad_reply"),
    "another protocol": (b"SSH-2.0-OpenSSH_9\r\n", "bad_reply"),
    "status 999": (b"HTTP/1.1 999 No\r\n\r\n", "bad_reply"),
    "bare LF": (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "bad_reply"),
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "bad_reply"),
    "length and chunked": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "bad_reply",
    ),
    "gzip": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "bad_reply"),
    "obs-fold": (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n", "bad_reply"),
    "endless head": (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20_000, "bad_reply"),
    "an upgrade unasked": (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "bad_reply"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_reply_that_is_not_http_is_a_502(master: Master, worker: Worker, kind: str) -> None:
    reply, code = BROKEN[kind]
    worker.script = replying(reply)
    with master.client(post(STEP)) as client:
        answer = client.message()
        assert (answer.status, answer.error()["code"]) == (502, code)
        worker.script = replying(OK)
        client.send(post(STEP))
        assert client.message().status == 200


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Le"])
@pytest.mark.parametrize("end", [Peer.close, Peer.reset, Peer.end])
def test_a_worker_that_hangs_up_before_its_reply_is_a_502(master: Master, worker: Worker, reply, end) -> None:
    worker.script = replying(reply, end=end)
    answer = master.ask(post(STEP))
    assert (answer.status, answer.error()["code"]) == (502, "worker_unreachable")
    assert answer.error()["sent"] is True


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ],
)
@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
def test_half_a_reply_is_never_taken_for_whole(master: Master, worker: Worker, reply: bytes, end) -> None:
    worker.script = replying(reply, end=end)
    with master.client(post(STEP)) as client, pytest.raises((EOFError, ConnectionError)):
        client.message()


def test_a_reset_in_a_reply_until_close_is_not_its_end(master: Master, worker: Worker) -> None:
    go = threading.Event()

    def script(peer: Peer) -> None:
        peer.message()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        assert go.wait(10)
        peer.reset()

    worker.script = script
    with master.client(post(STEP)) as client:
        assert client._until(b"half")
        go.set()
        with pytest.raises(ConnectionError):
            client.rest()


def test_bytes_beyond_a_reply_never_reach_a_client(master: Master, worker: Worker) -> None:
    worker.script = replying(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    with master.client() as client:
        for _ in range(2):
            client.send(post(STEP))
            assert client.message().body == b"{}"
    assert worker.connections == 2


def test_a_worker_that_refuses_is_a_502_and_was_sent_nothing(master: Master) -> None:
    master.route("gone", "http://127.0.0.1:9", "w9")
    with master.client() as client:
        for _ in range(2):
            client.send(post(b"/envs/gone/step"))
            error = client.message().error()
            assert (error["code"], error["sent"]) == ("worker_unreachable", False)


@pytest.mark.parametrize(
    "url", ["http://h:99999", "http://" + "a" * 300, "http://a..b", "http://no.such.invalid:1"]
)
def test_a_worker_whose_url_leads_nowhere_is_a_502(master: Master, url: str) -> None:
    master.do(lambda: master.routes.adopt("odd", "w9", url))
    assert master.ask(post(b"/envs/odd/step")).error()["code"] == "worker_unreachable"


def test_a_head_request_that_fails_has_no_body_and_keeps_the_client(master: Master) -> None:
    master.route("gone", "http://127.0.0.1:9", "w9")
    with master.client() as client:
        for _ in range(2):
            client.send(get(b"/envs/gone/files").replace(b"GET", b"HEAD", 1))
            assert client.message(has_body=False).status == 502


def test_connections_are_kept_and_used_again(master: Master, worker: Worker) -> None:
    for _ in range(5):
        assert master.ask(post(STEP)).status == 200
    assert worker.connections == 1


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 408 Too Late\r\nContent-Length: 0\r\n\r\n", b"junk"])
def test_a_worker_that_closes_or_speaks_on_an_idle_connection_fails_no_call(
    master: Master, worker: Worker, last: bytes
) -> None:
    def script(peer: Peer) -> None:
        peer.message()
        peer.send(OK)
        peer.send(last)

    worker.script = script
    for _ in range(5):
        assert master.ask(post(STEP)).status == 200
        wait_until(lambda: master.gateway.pools.count == 0)


def test_a_worker_that_closes_each_connection_fails_no_call_that_may_be_repeated(
    master: Master, worker: Worker
) -> None:
    worker.script = replying(OK, end=Peer.close)
    for _ in range(100):
        assert master.ask(post(STEP, more=b"Idempotency-Key: k\r\n")).status == 200


@pytest.mark.parametrize(
    ("request_", "status"),
    [(get(STEP), 200), (post(STEP, more=b"Idempotency-Key: k\r\n"), 200), (post(STEP), 502)],
)
def test_a_call_on_a_stale_connection_is_repeated_only_when_that_is_safe(
    master: Master, worker: Worker, request_: bytes, status: int
) -> None:
    def once(peer: Peer) -> None:
        peer.message()
        peer.send(OK)
        peer.message()  # takes a second request, and hangs up on it

    worker.script = once
    assert master.ask(get(STEP)).status == 200
    assert master.ask(request_).status == status


def test_a_worker_that_says_nothing_is_a_504(start_master, worker: Worker) -> None:
    worker.script = lambda peer: peer.rest()  # type: ignore[assignment]
    master = start_master(timeout_s=0.1)
    with master.client(post(STEP)) as client:
        answer = client.message()
        assert (answer.status, answer.error()["code"]) == (504, "gateway_timeout")
        worker.script = replying(OK)
        client.send(post(STEP))
        assert client.message().status == 200


def test_a_reply_that_stalls_is_cut(start_master, worker: Worker) -> None:
    worker.script = replying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    with (
        start_master(timeout_s=0.1).client(post(STEP)) as client,
        pytest.raises((EOFError, ConnectionError)),
    ):
        client.message()


def test_idle_connections_to_workers_expire(start_master, worker: Worker) -> None:
    master = start_master(Limits(sweep_s=0.02, worker_idle_s=0.05))
    assert master.ask(post(STEP)).status == 200
    wait_until(lambda: master.gateway.pools.count == 0)
    wait_until(lambda: not master.gateway.pools._pools)
    assert master.ask(post(STEP)).status == 200


def test_calls_over_a_workers_limit_wait_their_turn(start_master, worker: Worker) -> None:
    master = start_master(Limits(sweep_s=0.02, worker_connections=2))
    clients = [master.client(post(STEP)) for _ in range(10)]
    statuses = []
    entered = [client.__enter__() for client in clients]
    for client in entered:
        statuses.append(client.message().status)
        client.close()
    assert statuses == [200] * 10
    assert worker.connections <= 2


def test_a_waiting_call_that_is_given_up_gives_its_turn_on(start_master, worker: Worker) -> None:
    go = threading.Event()

    def slow(peer: Peer) -> None:
        while peer.message():
            assert go.wait(10)
            peer.send(OK)

    worker.script = slow
    master = start_master(Limits(sweep_s=0.02, worker_connections=1))
    with master.client(post(STEP)) as first:
        wait_until(lambda: worker.connections == 1)
        with master.client(post(STEP)) as second:
            wait_until(lambda: master.gateway.active_count == 2)
            second.reset()
        wait_until(lambda: master.gateway.active_count == 1)
        with master.client(post(STEP)) as third:
            go.set()
            assert (first.message().status, third.message().status) == (200, 200)


@pytest.mark.parametrize(("method", "ends"), [("POST", True), ("GET", False)])
def test_a_close_that_the_worker_carried_out_ends_the_route(
    master: Master, worker: Worker, method: str, ends: bool
) -> None:
    request = post(f"/envs/{ENV}/close".encode()).replace(b"POST", method.encode(), 1)
    assert master.ask(request).status == 200
    assert (master.routes.find(ENV) is None) is ends


def test_calls_are_counted_by_name_with_their_failures(master: Master, worker: Worker) -> None:
    before = master.gateway.stats.summary().get("keepalive", {"count": 0, "failures": 0})
    call = f"/envs/{ENV}/keepalive".encode()
    assert master.ask(post(call)).status == 200
    worker.settle()
    worker.script = replying(b"junk\r\n")
    assert master.ask(post(call)).status == 502
    after = master.gateway.stats.summary()["keepalive"]
    assert (after["count"] - before["count"], after["failures"] - before["failures"]) == (2, 1)


def test_a_body_of_100_mb_goes_up_in_flat_memory(master: Master, worker: Worker) -> None:
    size, go = 100 * MB, threading.Event()

    def slow(peer: Peer) -> None:
        peer.message(has_body=False)
        assert go.wait(30)
        left = size - len(peer._buffer)
        while left:
            left -= len(peer.sock.recv(min(left, MB)))
        peer.send(OK)

    worker.script = slow
    head = b"POST " + STEP + b" HTTP/1.1\r\nHost: m\r\n" + AUTH + b"Content-Length: %d\r\n\r\n" % size
    before = psutil.Process().memory_info().rss
    with master.client(head) as client:
        part = b"x" * MB

        def upload() -> None:
            for _ in range(100):
                client.send(part)

        sender = threading.Thread(target=upload)
        sender.start()
        wait_until(lambda: any(one.flow.read_paused for one in list(master.gateway.connections)))
        go.set()
        assert client.message().status == 200
        sender.join()
    assert psutil.Process().memory_info().rss - before < 20 * MB


def test_a_body_of_100_mb_comes_down_in_flat_memory(master: Master, worker: Worker) -> None:
    size, sent = 100 * MB, []

    def big(peer: Peer) -> None:
        peer.message()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        part = b"x" * MB
        for _ in range(100):
            peer.send(part)
            sent.append(1)

    worker.script = big
    before = psutil.Process().memory_info().rss
    with master.client(get(STEP)) as client:
        wait_until(lambda: any(one.flow.write_paused for one in list(master.gateway.connections)))
        assert len(sent) < 50
        head = client._until(b"\r\n\r\n")
        assert b"content-length: %d" % size in head
        left = size - len(client._buffer)
        while left:
            left -= len(client.sock.recv(MB))
        client._buffer = b""
    assert psutil.Process().memory_info().rss - before < 20 * MB


UPGRADE = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n"
)


def test_a_websocket_is_passed_both_ways_until_one_side_ends(master: Master, worker: Worker) -> None:
    ended = threading.Event()

    def view(peer: Peer) -> None:
        head = peer.message()
        assert (head.one("upgrade"), head.one("connection")) == (b"websocket", b"upgrade")
        assert head.one("sec-websocket-key") == b"k"
        peer.send(
            b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\n\r\nhi"
        )
        assert peer.take(5) == b"early"
        peer.send(b"x" * MB)
        assert len(peer.take(MB)) == MB
        assert peer.is_hung_up()
        ended.set()

    worker.script = view
    with master.client(get(f"/envs/{ENV}/vnc".encode(), UPGRADE) + b"early") as client:
        reply = client.message()
        assert (reply.status, reply.one("sec-websocket-accept")) == (101, b"a")
        assert client.take(2) == b"hi"
        assert len(client.take(MB)) == MB
        client.send(b"y" * MB)
        client.close()
        assert ended.wait(10)


@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
def test_a_websocket_whose_worker_ends_is_ended(master: Master, worker: Worker, end) -> None:
    worker.script = replying(b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", end=end)
    with master.client(get(STEP, UPGRADE)) as client:
        assert client.message().status == 101
        assert client.is_hung_up()


def test_a_refused_websocket_leaves_the_connection_for_the_next_call(master: Master, worker: Worker) -> None:
    worker.script = replying(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno")
    with master.client(get(STEP, UPGRADE)) as client:
        assert client.message().status == 403
        client.send(get(b"/health"))
        assert client.message().status == 200


def test_a_websocket_for_the_app_is_an_ordinary_call(master: Master) -> None:
    with master.client(get(b"/health", UPGRADE)) as client:
        assert client.message().status == 200
        client.send(get(b"/health"))
        assert client.message().status == 200


def test_calls_given_up_while_their_worker_is_being_connected_to_leave_nothing(master: Master) -> None:
    for _ in range(300):
        with master.client(post(STEP)) as client:
            client.reset()
        master.do(master.gateway.pools.close)


@pytest.mark.parametrize(
    ("call", "status", "ends"),
    [
        ("step", 410, True),
        ("close", 200, True),
        ("close", 404, True),
        ("step", 404, False),
        ("step", 502, False),
    ],
)
def test_an_answer_that_the_environment_is_gone_ends_its_route(
    master: Master, worker: Worker, call: str, status: int, *, ends: bool
) -> None:
    worker.script = replying(b"HTTP/1.1 %d Because\r\nContent-Length: 0\r\n\r\n" % status)
    assert master.ask(post(f"/envs/{ENV}/{call}".encode())).status == status
    assert (master.routes.find(ENV) is None) is ends


def test_what_a_close_ends_is_not_lost(master: Master, worker: Worker) -> None:
    close_came, step_ended = threading.Event(), threading.Event()

    def script(peer: Peer) -> None:
        if b"/close" in peer.message().first:
            close_came.set()
            step_ended.wait(TIMEOUT_S)
            status = 200
        else:
            close_came.wait(TIMEOUT_S)
            status = 410
        peer.send(b"HTTP/1.1 %d Because\r\nContent-Length: 0\r\n\r\n" % status)

    worker.script = script
    with master.client(post(STEP)) as step, master.client(post(f"/envs/{ENV}/close".encode())) as close:
        assert step.message().status == 410
        assert master.routes.find(ENV) is not None
        step_ended.set()
        assert close.message().status == 200
    assert master.routes.ended(ENV) == "closed"


def test_a_worker_that_cannot_be_reached_is_asked_at_once_whether_it_lives(
    master: Master, worker: Worker
) -> None:
    asked: list[str] = []
    master.fleet.on_suspect = asked.append
    worker.script = Peer.close
    assert master.ask(post(STEP)).status == 502
    assert asked == ["w1"]


def test_a_crowd_shares_the_few_connections_there_may_be(start_master, worker: Worker) -> None:
    master = start_master(Limits(worker_connections=2, worker_opening=1))
    with ExitStack() as stack:
        crowd = [stack.enter_context(master.client(post(STEP))) for _ in range(50)]
        assert {client.message().status for client in crowd} == {200}
    assert worker.connections <= 2
