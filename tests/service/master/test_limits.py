"""What a master takes of whoever reaches its port, as its settings say."""

import socket
from contextlib import contextmanager

import pytest

from tests.service.dataplane.rig import Peer, post
from tests.waiting import wait_until

DEEP = "[" * 100_000 + "]" * 100_000
JSON = {"Content-Type": "application/json"}


@contextmanager
def connect(master):
    url = master.http.base_url
    with socket.create_connection((url.host, url.port)) as connection:
        yield Peer(connection)


@pytest.mark.parametrize(
    "path", ["/envs/create", "/workers/register", "/workers/heartbeat", "/workers/drain"]
)
@pytest.mark.parametrize("body", [DEEP, f'{{"env_spec": {{"x": {DEEP}}}}}', '{"a":' * 300 + "1" + "}" * 300])
def test_json_that_is_nested_deeply_is_malformed(master, path, body):
    reply = master.http.post(path, content=body, headers=JSON)
    assert (reply.status_code, reply.json()["code"]) == (400, "malformed")
    assert master.http.get("/health").status_code == 200


def test_json_of_many_brackets_that_is_flat_is_taken(master):
    body = '{"worker_id": "w1", "x": [' + ",".join(["[]"] * 1000) + "]}"
    assert master.http.post("/workers/heartbeat", content=body, headers=JSON).status_code == 404


def test_the_settings_say_how_large_bodies_may_be(start_master):
    master = start_master(create_body_mb=0.002, body_mb=0.001)
    for path, size in (("/envs/create", 2100), ("/workers/heartbeat", 1050)):
        for length, status in ((size, 413), (900, 422)):
            reply = master.http.post(path, content=" " * (length - 2) + "{}", headers=JSON)
            assert reply.status_code == status


def test_a_body_that_nobody_reads_has_no_limit(start_master):
    master = start_master(create_body_mb=0.002, body_mb=0.001)
    reply = master.http.post("/envs/none/step", content=b"x" * 5000)
    assert (reply.status_code, reply.json()["code"]) == (404, "env_not_found")


def test_the_settings_say_how_many_connections_an_address_may_have(start_master):
    master = start_master(connections_per_address=2)
    with connect(master), connect(master), connect(master) as three:
        reply = three.message()
        assert (reply.status, reply.error()["code"]) == (503, "too_many_connections")
    wait_until(lambda: _is_served(master))


def _is_served(master):
    with connect(master) as peer:
        peer.send(post(b"/envs/none/step"))
        return peer.message().status == 404


@pytest.mark.parametrize(
    ("sent", "setting"),
    [
        (post(b"/envs/create", b" " * 20)[:-10], "silence_timeout_s"),
        (b"GET / HTTP/1.1\r\nHo", "head_timeout_s"),
    ],
)
def test_the_settings_say_how_long_a_request_may_take_to_come_in(start_master, sent, setting):
    master = start_master(**{setting: 0.1})
    with connect(master) as peer:
        peer.send(sent)
        reply = peer.message()
    assert (reply.status, reply.error()["code"]) == (408, "request_timeout")
