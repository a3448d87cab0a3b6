"""Headers that would break another header, a log line or a reply."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from tests.service.hostile.cluster import FINE, INVALID, verdict

PROGRAMS = ("master", "worker")
LOG = "forged log line"


def raw(program, env, lines, *, target="session_info"):
    """Send a request's head as it is; return all that comes back."""
    return env.raw("GET", target, lines, program=program)


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "value",
    [b"a b", b"x" * 129, b"x" * 5000, b"\xff\xfe", b"a,b", b"\"';<script>", b"a%0d%0aX-Evil: 1", b"../../x", b"\t", b"a\x85b"],
)  # fmt: skip
def test_a_request_id_that_is_none_is_replaced(env, program, value):
    reply = raw(program, env, b"X-Request-ID: " + value + b"\r\n")
    head = reply.partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 200")
    assert head.count(b"x-request-id") == 1
    assert value.lower().strip() + b"\r" not in head or not value.strip()


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\0", b"\r\n "])
def test_a_request_id_that_breaks_its_line_is_no_request(env, program, end):
    reply = raw(program, env, b"X-Request-ID: a" + end + b"X-Evil: 1\r\n")
    head = reply.partition(b"\r\n\r\n")[0].lower()
    assert b"x-evil" not in head
    assert head.split(b" ")[1] in (b"200", b"400")


def test_no_line_of_the_log_is_a_callers(cluster, env):
    for value in (f"a\n{LOG}", f"a\r{LOG}", f"a%0a{LOG}", f"a {LOG}"):
        for program in PROGRAMS:
            raw(program, env, f"X-Request-ID: {value}\r\n".encode("latin-1"))
            client = env.client(program)
            client.get(f"/envs/{env.env_id}/fetch_path", params={"path": value})
            client.post(f"/envs/{env.env_id}/reset", json={"seed": value})
            client.post("/envs/create", json={"env_dir": value, "runner": value})
        cluster.by("worker").post("/workers/drain", json={"worker_id": "worker-1", "reason": value})
        cluster.by("worker").post("/workers/register", json={"worker_id": value, "url": value})
    lines = cluster.fleet.log_text().splitlines()
    assert not [line for line in lines if line.startswith(LOG)]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "name", ['quo"te', "new\nline", "cr\r\nX-Evil: 1", "日本.txt", "\x01", "semi;colon", "%0d%0aX-Evil: 1", "back\\slash"]
)  # fmt: skip
def test_no_file_name_breaks_a_header(env, program, name):
    (env.folder() / name).write_bytes(b"content")
    reply = env.get("fetch_path", params={"path": name}, program=program)
    assert (reply.status_code, reply.content) == (200, b"content")
    given = reply.headers["content-disposition"]
    assert given.startswith('attachment; filename="')
    assert given.isascii()
    assert given.isprintable()
    assert "x-evil" not in reply.headers


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "\xe9", "x" * 5000])
def test_an_idempotency_key_that_is_none_is_refused(env, program, key):
    headers = {"Idempotency-Key": key.encode("latin-1")}
    for call in ("reset", "step", "close"):
        reply = env.client(program).post(f"/envs/{env.env_id}/{call}", json={}, headers=headers)
        assert verdict(reply) == INVALID, call
    assert verdict(env.post("step", {}, program=program)) == FINE


NO_TOKENS = (b"Bearer", b"Bearer  ", b"Basic x", b"bearer \xff", b"Bearer " + b"x" * 9000, b"")


@pytest.mark.parametrize("program", PROGRAMS)
def test_an_authorization_that_is_none_opens_nothing(env, program):
    def ask(token):
        return env.raw("GET", "session_info", auth=token, program=program)

    with ThreadPoolExecutor(len(NO_TOKENS)) as threads:  # side by side: each wrong token waits longer
        replies = list(threads.map(ask, NO_TOKENS))
    assert {reply.split(b" ")[1] for reply in replies} == {b"401"}


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "lines", [b"A: b\r\n" * 80_000, b"A: " + b"x" * 400_000 + b"\r\n", b"A" * 400_000 + b": b\r\n"]
)
def test_a_head_without_end_is_refused(env, program, lines):
    status = raw(program, env, lines).split(b" ")[1]
    assert status in (b"400", b"413", b"431")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    "range_header", ["bytes=0-99999999999999999999", "bytes=-", "bytes=5-2", "x" * 4000, "bytes=a-b"]
)
def test_a_range_that_is_none_is_passed_over(env, program, range_header):
    (env.folder() / "digits").write_bytes(b"0123456789")
    reply = env.get("fetch_path", params={"path": "digits"}, program=program, headers={"Range": range_header})
    assert reply.status_code in (200, 206)
    assert reply.content == b"0123456789"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_length_that_is_a_lie_hangs_nothing(env, program):
    client = env.client(program)
    parts = urlsplit(str(client.base_url))
    head = (
        f"POST /envs/{env.env_id}/step HTTP/1.1\r\nHost: h\r\nContent-Length: 500\r\n"
        f"Content-Type: application/json\r\nAuthorization: {client.headers['authorization']}\r\n\r\n{{}}"
    )
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head.encode())
    assert verdict(env.post("step", {}, program=program)) == FINE
