from __future__ import annotations

import msgpack
import pytest

from gym_queue.client import calls
from gym_queue.client.retry import ONCE, SAFE
from gym_queue.client.transport import KEEPALIVE_S, Transport, check_url
from gym_queue.errors import (
    BadReply,
    Conflict,
    ConnectionFailed,
    EnvNotFound,
    GatewayTimeout,
    NoCapacity,
    RequestInvalid,
    Unauthorized,
    WorkerUnreachable,
)
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.protocol.sessions import CreateRequest
from tests.unit.client.conftest import DROP, HANG, answer

GET = calls.Call("GET", "/envs/e/session_info", 5.0, SAFE)
STEP = calls.step("e", {"actions": []}, timeout_s=5.0)
UNREACHABLE = answer(502, WorkerUnreachable("the worker is gone").to_wire())
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
def test_a_step_that_may_have_been_carried_out_is_never_repeated(server, transport, failure, kind):
    server.then(failure, answer())
    with pytest.raises(kind):
        transport.send(STEP)
    assert len(server.seen) == 1


def test_a_create_is_repeated_under_the_same_env_id(server, transport):
    server.then(UNREACHABLE, DROP, answer(201, {"env_id": "e"}))
    assert transport.send(create()) == {"env_id": "e"}
    assert [seen.body["env_id"] for seen in server.seen] == ["e", "e", "e"]


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
        transport.send(calls.Call("POST", "/x", 100.0, ONCE))
    transport.close()
    assert dead_url in str(caught.value)
    assert caught.value.details["sent"] is False
    assert pauses


def test_the_token_is_in_no_error(server, transport):
    server.then(DROP)
    with pytest.raises(ConnectionFailed) as caught:
        transport.send(STEP)
    assert "secret-token" not in f"{caught.value!r} {caught.value.details}"


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
