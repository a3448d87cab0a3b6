"""How clients come, speak, stay and go."""

from __future__ import annotations

import threading

import pytest

from gym_queue.master.dataplane.limits import Limits
from tests.service.dataplane.rig import AUTH, ENV, OK, STEP, Master, Peer, Worker, get, post
from tests.waiting import wait_until

APP = b"/workers/list"
PATHS = [STEP, APP]
QUICK = Limits(sweep_s=0.02, head_s=0.1, idle_s=0.1, silence_s=0.1, drain_silence_s=0.1, drain_s=0.3)
EARLY = b"HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nfull"


@pytest.mark.parametrize("first", PATHS)
@pytest.mark.parametrize("second", PATHS)
@pytest.mark.parametrize("third", PATHS)
def test_pipelined_requests_are_answered_in_order(
    master: Master, first: bytes, second: bytes, third: bytes
) -> None:
    paths = [first, second, third]
    ids = [b"id-%d" % at for at in range(3)]
    sent = [get(path, b"X-Request-ID: %b\r\n" % name) for path, name in zip(paths, ids, strict=True)]
    with master.client(b"".join(sent)) as client:
        assert [client.message().one("x-request-id") for _ in paths] == ids


def test_many_small_pipelined_requests_are_all_answered(master: Master) -> None:
    with master.client() as client:
        sender = threading.Thread(target=client.send, args=(post(STEP) * 3000,))
        sender.start()
        assert {client.message().status for _ in range(3000)} == {200}
        sender.join()


@pytest.mark.parametrize("path", PATHS)
def test_a_connection_is_kept_alive(master: Master, path: bytes) -> None:
    with master.client() as client:
        for _ in range(3):
            client.send(get(path))
            assert client.message().one("connection") is None


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("option", [b"close", b"Close", b"x, close", b"keep-alive, close"])
def test_connection_close_is_heeded(master: Master, path: bytes, option: bytes) -> None:
    with master.client(get(path, b"Connection: %b\r\n" % option)) as client:
        reply = client.message()
        assert (reply.status, reply.one("connection")) == (200, b"close")
        assert client.is_hung_up()


@pytest.mark.parametrize("path", PATHS)
def test_a_client_of_http_10_is_answered_and_hung_up_on(master: Master, path: bytes) -> None:
    with master.client(b"GET %b HTTP/1.0\r\n%b\r\n" % (path, AUTH)) as client:
        assert client.message().one("connection") == b"close"
        assert client.is_hung_up()


def test_a_client_of_http_10_may_ask_to_stay(master: Master) -> None:
    with master.client() as client:
        for _ in range(2):
            client.send(b"GET %b HTTP/1.0\r\nConnection: keep-alive\r\n%b\r\n" % (STEP, AUTH))
            assert client.message().one("connection") == b"keep-alive"


@pytest.mark.parametrize("path", PATHS)
def test_a_half_closed_client_gets_all_its_answers(master: Master, path: bytes) -> None:
    with master.client(get(path) + get(path)) as client:
        client.end()
        assert [client.message().status, client.message().status] == [200, 200]
        assert client.is_hung_up()


def test_a_half_closed_client_gets_a_late_answer(master: Master, worker: Worker) -> None:
    go = threading.Event()

    def late(peer: Peer) -> None:
        peer.message()
        assert go.wait(10)
        peer.send(OK)

    worker.script = late
    with master.client(post(STEP)) as client:
        client.end()
        go.set()
        assert client.message().body == b"{}"
        assert client.is_hung_up()


@pytest.mark.parametrize("leave", [Peer.close, Peer.reset, Peer.end])
def test_a_create_whose_client_goes_away_is_given_up(start_master, leave) -> None:
    master = start_master()
    with master.client(post(b"/envs/create", b'{"env_dir": "/e"}')) as client:
        wait_until(lambda: master.waiting)
        leave(client)
        wait_until(lambda: not master.waiting)


@pytest.mark.parametrize("path", [STEP, b"/workers/drain"])
@pytest.mark.parametrize("leave", [Peer.close, Peer.reset, Peer.end])
def test_an_aborted_upload_leaves_nothing(master: Master, path: bytes, leave) -> None:
    with master.client(post(path, b"x" * 1000)[:-500]) as client:
        leave(client)


@pytest.mark.parametrize("leave", [Peer.close, Peer.reset])
def test_an_aborted_download_ends_the_workers_side_too(master: Master, worker: Worker, leave) -> None:
    ended = threading.Event()

    def endless(peer: Peer) -> None:
        peer.message()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                peer.send(b"x" * 65536)
        finally:
            ended.set()

    worker.script = endless
    with master.client(get(STEP)) as client:
        client.take(100_000)
        leave(client)
        assert ended.wait(10)


@pytest.mark.parametrize("path", [STEP, b"/workers/drain"])
def test_a_client_that_expects_is_told_to_continue(master: Master, worker: Worker, path: bytes) -> None:
    def careful(peer: Peer) -> None:
        head = peer.message(has_body=False)
        assert head.one("expect") == b"100-continue"
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert peer.take(2) == b"{}"
        peer.send(OK)

    worker.script = careful
    request = post(path, more=b"Expect: 100-continue\r\n")
    with master.client(request[:-2]) as client:
        assert client.message().status == 100
        client.send(b"{}")
        assert client.message().status == (200 if path == STEP else 422)


@pytest.mark.parametrize("path", [STEP, b"/workers/drain"])
def test_a_client_that_expects_may_be_refused_early(master: Master, worker: Worker, path: bytes) -> None:
    def refuse(peer: Peer) -> None:
        peer.message(has_body=False)
        peer.send(EARLY)
        peer.rest()

    worker.script = refuse
    auth = AUTH if path == STEP else b""
    head = b"POST %b HTTP/1.1\r\nHost: m\r\n%bExpect: 100-continue\r\nContent-Length: 9\r\n\r\n" % (
        path,
        auth,
    )
    with master.client(head) as client:
        reply = client.message()
        assert reply.status == (413 if path == STEP else 401)
        assert reply.one("connection") == b"close"
        assert client.is_hung_up()


@pytest.mark.parametrize("path", [STEP, b"/workers/drain"])
def test_a_client_that_sends_on_after_an_early_answer_still_reads_it(
    master: Master, worker: Worker, path: bytes
) -> None:
    def refuse(peer: Peer) -> None:
        peer.message(has_body=False)
        peer.send(EARLY)
        peer.rest()

    worker.script = refuse
    auth = AUTH if path == STEP else b""
    size = 20 << 20
    with master.client(
        b"POST %b HTTP/1.1\r\nHost: m\r\n%bContent-Length: %d\r\n\r\n" % (path, auth, size)
    ) as client:
        client.send(b"x" * size)
        assert client.message().status == (413 if path == STEP else 401)


@pytest.mark.parametrize("path", PATHS)
def test_a_head_that_trickles_in_is_a_408(start_master, path: bytes) -> None:
    with start_master(QUICK).client(get(path)[:-2]) as client:
        reply = client.message()
        assert (reply.status, reply.error()["code"]) == (408, "request_timeout")
        assert client.is_hung_up()


def test_a_head_that_starts_late_on_an_idle_connection_has_its_full_time(start_master) -> None:
    master = start_master(Limits(sweep_s=0.02, head_s=0.5, idle_s=30))
    with master.client(get(STEP)) as client:
        client.message()
        client.send(get(STEP)[:10])
        wait_until(lambda: any(one._head_since for one in list(master.gateway.connections)))
        client.send(get(STEP)[10:])
        assert client.message().status == 200


@pytest.mark.parametrize("path", [STEP, b"/workers/drain"])
def test_a_body_that_stalls_is_a_408(start_master, path: bytes) -> None:
    with start_master(QUICK).client(post(path, b"x" * 10)[:-5]) as client:
        reply = client.message()
        assert (reply.status, reply.error()["code"]) == (408, "request_timeout")
        assert client.is_hung_up()


@pytest.mark.parametrize("path", [STEP, b"/workers/drain"])
def test_a_body_that_trickles_in_for_too_long_is_a_408(start_master, path: bytes) -> None:
    master = start_master(Limits(sweep_s=0.02, silence_s=30, body_s=0.1))
    with master.client(post(path, b"x" * 10_000)[:-5000]) as client:
        wait_until(
            lambda: (client.send(b"x"), not all(one._body_comes() for one in master.gateway.connections))[1]
        )
        reply = client.message()
        assert (reply.status, reply.error()["code"]) == (408, "request_timeout")


@pytest.mark.parametrize("sent", [b"", get(STEP), get(APP)])
def test_an_idle_connection_is_swept(start_master, sent: bytes) -> None:
    with start_master(QUICK).client(sent) as client:
        if sent:
            assert client.message().status == 200
        assert client.is_hung_up()


def test_a_client_that_never_stops_sending_after_its_answer_is_hung_up_on(start_master) -> None:
    master = start_master(QUICK)
    with master.client(b"BREW / HTTP/1.1\r\n\r\n") as client:
        assert client.message().status == 405
        with pytest.raises(ConnectionError):
            client.sock.sendall(bytes(1 << 30))


@pytest.mark.parametrize("call", [STEP, b"/big"])
def test_a_client_that_does_not_read_its_answers_is_hung_up_on(start_master, worker: Worker, call) -> None:
    def big(peer: Peer) -> None:
        while peer.message():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)

    worker.script = big
    master = start_master(QUICK)
    with master.client(receive_buffer=4096) as client:
        for _ in range(1000):
            try:
                client.send(get(call))
            except ConnectionError:
                break
        wait_until(lambda: not master.gateway.connections)


def test_pipelining_without_reading_does_not_pile_up_answers(master: Master, worker: Worker) -> None:
    answered = []

    def big(peer: Peer) -> None:
        while peer.message():
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000)
            answered.append(1)

    worker.script = big
    with master.client(get(STEP) * 200, receive_buffer=4096) as client:
        wait_until(lambda: any(one.flow.write_paused for one in list(master.gateway.connections)))
        unsent = max(one.transport.get_write_buffer_size() for one in list(master.gateway.connections))
        assert unsent < 2_000_000
        assert len(answered) < 50
        client.reset()


def test_clients_over_the_limit_are_hung_up_on(start_master) -> None:
    master = start_master(Limits(sweep_s=0.02, connections=2))
    with master.client(get(STEP)) as one, master.client(get(STEP)) as two:
        assert (one.message().status, two.message().status) == (200, 200)
        with master.client() as three:
            assert three.is_hung_up()
        one.send(get(STEP))
        assert one.message().status == 200


def test_one_client_more_than_an_address_may_have_is_told_so(start_master) -> None:
    master = start_master(Limits(sweep_s=0.02, per_address=2, drain_silence_s=0.1))
    with master.client(get(STEP)) as one:
        with master.client(get(STEP)) as two:
            assert (one.message().status, two.message().status) == (200, 200)
            with master.client() as three:
                reply = three.message()
                assert (reply.status, reply.error()["code"]) == (503, "too_many_connections")
                assert three.is_hung_up()
            one.send(get(STEP))
            assert one.message().status == 200
        wait_until(lambda: len(master.gateway.connections) == 1)
        assert master.ask(get(STEP)).status == 200


def test_neighbours_do_not_notice(master: Master, worker: Worker) -> None:
    with master.client() as good:
        for bad in (b"\0" * 100, post(STEP)[:-1], b"GET / HTTP/9\r\n\r\n", get(STEP)[:30]):
            with master.client(bad):
                good.send(post(STEP, bad))
                assert good.message().body.endswith(bad)


def test_what_a_bug_breaks_is_one_connection_logged_and_counted(
    start_master, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = start_master()
    with master.client(get(STEP)) as good:
        good.message()
        find = master.routes.find
        monkeypatch.setattr(master.routes, "find", lambda env_id: find(env_id) if env_id == ENV else 1 / 0)
        with master.client(get(b"/envs/other/step")) as bad:
            assert bad.is_hung_up()
        assert (master.gateway.bug_count, "ZeroDivisionError" in caplog.text) == (1, True)
        good.send(get(STEP))
        assert good.message().status == 200
    master.gateway.bug_count = 0


def test_a_bug_in_the_sweep_does_not_end_the_sweep(start_master, monkeypatch: pytest.MonkeyPatch) -> None:
    master = start_master(QUICK)
    with master.client(get(STEP)) as one:
        one.message()
        (connection,) = master.gateway.connections
        monkeypatch.setattr(connection, "check_patience", lambda _now: 1 / 0)
        assert one.is_hung_up()
    with master.client() as idle:
        assert idle.is_hung_up()
    assert master.gateway.bug_count == 1
    master.gateway.bug_count = 0


def test_stopping_lets_a_forwarded_call_finish(worker: Worker) -> None:
    master = Master(Limits())
    master.route(ENV, worker.url)
    begun, go = threading.Event(), threading.Event()

    def slow(peer: Peer) -> None:
        peer.message()
        begun.set()
        assert go.wait(10)
        peer.send(OK)

    worker.script = slow
    with master.client(post(STEP)) as client, master.client(get(APP)) as idle:
        idle.message()
        assert begun.wait(10)
        stopping = threading.Thread(target=master.stop)
        stopping.start()
        assert idle.is_hung_up()
        go.set()
        reply = client.message()
        assert (reply.status, reply.one("connection")) == (200, b"close")
        assert client.is_hung_up()
        stopping.join(10)
        assert not stopping.is_alive()


def test_a_call_that_outlasts_the_stop_is_answered_with_a_typed_error(worker: Worker) -> None:
    master = Master(Limits())
    master.route(ENV, worker.url)
    worker.script = lambda peer: peer.rest()  # type: ignore[assignment]
    with master.client(post(STEP)) as client:
        wait_until(lambda: master.gateway.active_count)
        master.stop()
        assert client.message().error()["code"] == "master_unreachable"
        assert client.is_hung_up()
    assert not master.gateway.connections
