from __future__ import annotations

import json
import threading
from urllib.parse import urlsplit
from uuid import UUID

import msgpack
import pytest

from gym_queue.client import calls
from gym_queue.client.retry import BRIEF, ONCE, SAFE
from gym_queue.client.transport import KEEPALIVE_S, Transport, check_url
from gym_queue.errors import (
    BadReply,
    BrokerUnavailable,
    Conflict,
    ConnectionFailed,
    EnvLost,
    EnvNotFound,
    EnvTimeout,
    GatewayTimeout,
    GymQueueError,
    Infrastructure,
    NoCapacity,
    RequestInvalid,
    RunnerFailed,
    RunnerUnavailable,
    Unauthorized,
    WorkerUnreachable,
)
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.protocol.sessions import CreateRequest
from tests.unit.client.conftest import DROP, HANG, Script, answer
from tests.waiting import wait_until

GET = calls.Call("GET", "/envs/e/session_info", 5.0, SAFE)
RESET = calls.reset("e", {"seed": 3}, timeout_s=5.0)
STEP = calls.step("e", {"actions": []}, timeout_s=5.0)
KEYLESS = calls.step("e", {"actions": []}, timeout_s=5.0, retries=ONCE)
UNREACHABLE = answer(502, WorkerUnreachable("the worker is gone").to_wire())
SLOW = answer(504, GatewayTimeout("no answer in time").to_wire())
BUSY = answer(503, BrokerUnavailable("the broker is out of reach").to_wire())
FULL = answer(503, NoCapacity("full").to_wire())


def create(**fields):
    return calls.create(CreateRequest(env_id="e", env_dir="x", **fields), timeout_s=5.0)


def test_a_call_carries_token_accept_and_request_id(server, transport):
    server.then(answer(200, {"reward": 1}))
    assert transport.send(STEP) == {"reward": 1}
    headers = server.seen[0].headers
    assert headers["authorization"] == "Bearer secret-token"
    assert headers["accept"] == MSGPACK_TYPE
    assert headers["x-request-id"]


def test_messagepack_replies_are_read(server, transport):
    body = msgpack.packb({"observation": {"screen": {"png": b"\x89"}}})
    server.then(answer(raw=body, headers=f"Content-Type: {MSGPACK_TYPE}\r\n"))
    assert transport.send(STEP) == {"observation": {"screen": {"png": b"\x89"}}}


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_unnoticed(server, transport, pauses):
    server.then(answer(), answer(), answer())
    transport.send(STEP)
    server.hang_up()
    assert transport.send(STEP) == {}
    assert (server.connections, pauses) == (2, [])


def test_a_connection_that_was_idle_too_long_is_replaced_before_the_server_closes_it(server):
    now = [0.0]
    transport = Transport(server.url, None, clock=lambda: now[0])
    server.then(answer(), answer(), answer())
    for now[0] in (0.0, 59.0, 59.0 + KEEPALIVE_S):
        transport.send(STEP)
    transport.close()
    assert server.connections == 2


def test_connections_are_kept_and_what_is_between_calls_is_not_shared(server, transport):
    server.then(answer(), answer())
    transport.send(GET)
    transport.send(GET)
    first, second = (seen.headers["x-request-id"] for seen in server.seen)
    assert first != second
    assert server.connections == 1


@pytest.mark.parametrize("failure", [DROP, UNREACHABLE, answer(200, {"a": 1}, length=500)])
def test_a_get_is_repeated(server, transport, pauses, failure):
    server.then(failure, failure, answer(200, {"ok": True}))
    assert transport.send(GET) == {"ok": True}
    assert len(pauses) == 2


@pytest.mark.parametrize(("failure", "kind"), [(DROP, ConnectionFailed), (UNREACHABLE, WorkerUnreachable)])
def test_a_step_that_may_have_been_carried_out_is_never_repeated_where_keys_are_not_known(
    server, transport, failure, kind
):
    server.then(failure, answer())
    with pytest.raises(kind):
        transport.send(KEYLESS)
    assert len(server.seen) == 1


def test_a_create_is_repeated_under_the_same_env_id(server, transport):
    server.then(UNREACHABLE, DROP, answer(201, {"env_id": "e"}))
    assert transport.send(create()) == {"env_id": "e"}
    assert [seen.body["env_id"] for seen in server.seen] == ["e", "e", "e"]


@pytest.mark.parametrize(
    "failure",
    [DROP, answer(200, {"a": 1}, length=500), UNREACHABLE, SLOW, BUSY],
    ids=["dropped", "cut short", "502", "504", "503"],
)
@pytest.mark.parametrize("call", [STEP, RESET, calls.close("e"), create()], ids=lambda call: call.path)
def test_a_mutation_is_repeated_with_the_same_key_and_body(server, transport, call, failure):
    server.then(failure, failure, answer(200, {"ok": True}))
    assert transport.send(call) == {"ok": True}
    assert server.keys == [call.key] * 3
    assert [json.dumps(seen.body).encode() for seen in server.seen] == [call.body] * 3


def test_two_calls_have_two_keys():
    made = [calls.step("e", {}, timeout_s=1), calls.step("e", {}, timeout_s=1), calls.close("e"), create()]
    assert len({UUID(call.key or "") for call in made}) == len(made)


def test_calls_that_change_nothing_need_no_key(server, transport):
    server.then(answer())
    transport.send(GET)
    assert server.keys == [None]


@pytest.mark.parametrize("failure", [DROP, UNREACHABLE])
def test_a_change_without_a_key_is_not_repeated_once_it_was_sent(server, transport, failure):
    server.then(failure, answer())
    with pytest.raises(Infrastructure):
        transport.send(calls.post("e", "save_state", timeout_s=5.0))
    assert len(server.seen) == 1


def test_a_change_without_a_key_is_repeated_when_the_master_did_not_reach_the_worker(server, transport):
    server.then(answer(502, WorkerUnreachable("refused", {"sent": False}).to_wire()), answer(200, {"ok": 1}))
    assert transport.send(calls.post("e", "save_state", timeout_s=5.0)) == {"ok": 1}


@pytest.mark.parametrize(
    "failure",
    [
        answer(502, RunnerFailed("the sandbox died").to_wire()),
        answer(503, RunnerUnavailable("nobody has docker").to_wire()),
        answer(504, EnvTimeout("it hung and was killed").to_wire()),
        answer(410, EnvLost("gone").to_wire()),
        answer(409, Conflict("another body").to_wire()),
        answer(502, WorkerUnreachable("then").to_wire(), headers="Idempotency-Replayed: true\r\n"),
    ],
)
def test_what_cannot_get_better_is_not_repeated(server, transport, failure):
    server.then(failure, answer())
    with pytest.raises(GymQueueError):
        transport.send(STEP)
    assert len(server.seen) == 1


def test_no_call_waits_less_than_retry_after_says(server, transport, pauses):
    server.then(answer(503, BrokerUnavailable("starting").to_wire(), headers="Retry-After: 2\r\n"), answer())
    transport.send(STEP)
    assert 2 <= pauses[0] <= 2.05


def test_a_pause_that_would_outlast_the_deadline_is_not_begun(server, transport, pauses):
    server.then(answer(503, BrokerUnavailable("starting").to_wire(), headers="Retry-After: 60\r\n"))
    with pytest.raises(BrokerUnavailable):
        transport.send(STEP)
    assert pauses == []


def test_a_step_waits_for_a_server_that_is_out_of_reach_until_its_deadline(dead_url, pauses):
    now = iter(range(1000))
    transport = Transport(dead_url, None, sleep=pauses.append, clock=lambda: float(next(now)))
    with pytest.raises(ConnectionFailed):
        transport.send(calls.step("e", {}, timeout_s=100.0))
    transport.close()
    assert len(pauses) > 20
    assert max(pauses) <= 0.5


def test_a_step_outlives_the_restart_of_its_server(server):
    started: list[Script] = []

    def restart(pause_s: float) -> None:
        if len(pauses) == 4:
            started.append(Script(port=urlsplit(server.url).port or 0))
            started[0].then(answer(200, {"played": "once"}))
        pauses.append(pause_s)

    def die() -> bytes:
        threading.Thread(target=server.stop).start()  # which waits for the thread that answers here
        wait_until(lambda: not server.listening)
        return DROP

    pauses: list[float] = []
    transport = Transport(server.url, "t", sleep=restart)
    server.then(die)
    try:
        assert transport.send(STEP) == {"played": "once"}
        assert (server.keys, started[0].keys) == ([STEP.key], [STEP.key])
        assert max(pauses) <= 0.5
    finally:
        transport.close()
        for each in started:
            each.stop()


def test_a_call_that_is_repeated_for_long_tells_it_once(server, caplog):
    now = [0.0]

    def sleep(pause_s: float) -> None:
        now[0] += 1.0

    transport = Transport(server.url, None, sleep=sleep, clock=lambda: now[0])
    server.then(*[DROP] * 8, answer())
    transport.send(calls.step("e", {}, timeout_s=60.0))
    transport.close()
    levels = [record.levelname for record in caplog.records if record.name == "gym_queue.client.transport"]
    assert levels.count("WARNING") == 1


def test_a_full_server_is_asked_again_only_while_the_caller_is_willing_to_queue(server, transport):
    server.then(FULL, answer(201, {"env_id": "e"}), FULL)
    assert transport.send(create(queue_timeout_s=60)) == {"env_id": "e"}
    with pytest.raises(NoCapacity):
        transport.send(create())


def test_a_final_error_is_not_repeated_and_keeps_its_class_text_and_details(server, transport):
    server.then(answer(404, {"error": "no env e", "code": "env_not_found", "request_id": "r1", "hint": 3}))
    with pytest.raises(EnvNotFound, match="no env e") as caught:
        transport.send(GET)
    assert caught.value.details == {"request_id": "r1", "http_status": 404, "hint": 3}
    assert len(server.seen) == 1


def test_the_request_id_is_in_the_details_when_only_the_header_has_it(server, transport):
    server.then(answer(409, {"error": "busy"}, headers="X-Request-ID: r7\r\n"))
    with pytest.raises(Conflict, match="busy") as caught:
        transport.send(GET)
    assert caught.value.details["request_id"] == "r7"


@pytest.mark.parametrize("status", [200, 302, 404, 500])
@pytest.mark.parametrize(
    "junk", [b"<html>Bad Gateway</html>", b"", b"\xff\xfe\x00", b"[1, 2]", b"[" * 100_000]
)
def test_junk_is_a_bad_reply_that_shows_it(server, transport, status, junk):
    server.then(answer(status, raw=junk))
    with pytest.raises(BadReply, match=str(status)):
        transport.send(STEP)


def test_broken_messagepack_is_a_bad_reply(server, transport):
    server.then(answer(raw=b"\xc1\x00", headers=f"Content-Type: {MSGPACK_TYPE}\r\n"))
    with pytest.raises(BadReply):
        transport.send(STEP)


@pytest.mark.parametrize("body", [b'{"error": "no"}', b"<html>"])
def test_401_says_where_the_token_comes_from(server, transport, body):
    server.then(answer(401, raw=body))
    with pytest.raises(Unauthorized, match="GYM_ANYTHING_TOKEN") as caught:
        transport.send(GET)
    assert "token file" in str(caught.value)


def test_a_server_that_hangs_is_a_timeout_and_not_asked_again(server, transport, pauses):
    server.then(HANG)
    with pytest.raises(GatewayTimeout, match=r"0\.05 s"):
        transport.send(calls.Call("GET", "/x", 0.05, SAFE))
    assert pauses == []


def test_a_dead_server_is_named_with_the_remedy_once_patience_ends(dead_url, pauses):
    now = iter(range(1000))
    transport = Transport(dead_url, None, sleep=pauses.append, clock=lambda: float(next(now)))
    with pytest.raises(ConnectionFailed, match="check the address") as caught:
        transport.send(calls.Call("POST", "/x", 100.0, BRIEF))
    transport.close()
    assert dead_url in str(caught.value)
    assert caught.value.details["sent"] is False
    assert pauses


def test_the_token_is_in_no_error(server, transport):
    server.then(DROP)
    with pytest.raises(ConnectionFailed) as caught:
        transport.send(KEYLESS)
    assert "secret-token" not in f"{caught.value!r} {caught.value.details} {transport.__dict__}"


def test_proxies_of_the_environment_are_not_used(server, transport, monkeypatch, dead_url):
    monkeypatch.setenv("http_proxy", dead_url)
    server.then(answer(200, {"direct": True}))
    fresh = Transport(server.url, None)
    assert fresh.send(GET) == {"direct": True}
    fresh.close()


def test_a_download_appears_whole_or_not_at_all(server, transport, tmp_path):
    server.then(answer(raw=b"half", length=100), answer(raw=b"whole file"), answer(404, {"error": "none"}))
    transport.download(GET, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == b"whole file"
    with pytest.raises(EnvNotFound, match="none"):
        transport.download(GET, tmp_path / "b.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    "url",
    ["", "localhost:5800", "ftp://host", "http://", "http:///x", "http://[::1", "http://host:port", None],
)
def test_a_url_that_is_none_is_refused_with_the_remedy(url):
    with pytest.raises(RequestInvalid, match="http://host:5800"):
        check_url(url)


def test_a_url_with_a_secret_in_it_is_refused_without_showing_it():
    with pytest.raises(RequestInvalid) as caught:
        check_url("http://user:hunter2@host")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://h:1", "http://h:1/", " https://h/gym/ ", "http://[::1]:5800"])
def test_a_good_url_loses_its_last_slash(url):
    assert check_url(url) == url.strip().rstrip("/")


def test_a_token_that_no_header_can_hold_is_refused_without_showing_it():
    with pytest.raises(RequestInvalid, match="token") as caught:
        Transport("http://h", "hunter\n2")
    assert "hunter" not in str(caught.value)
