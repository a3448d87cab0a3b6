"""Bodies that no call takes: each is refused by name, wherever it is sent and whoever sends it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest

from tests.service.hostile.calls import CALLS, NO_CALL, doors, expected, way, wrong_fields
from tests.service.hostile.cluster import FINE, INVALID, JSON, MALFORMED, UNAUTHORIZED, small, verdict

DEEP = b"[" * 100_000 + b"]" * 100_000
TOO_LARGE = (413, "too_large")
MEGABYTE = b" " * 1_000_000

LARGE = [door for door in doors() if door[0] in ("step", "event", "create", "heartbeat")]

NOT_OBJECTS = {
    "a list": b"[]",
    "a text": b'"text"',
    "a number": b"5",
    "null": b"null",
    "true": b"true",
    "a list of objects": b"[{}]",
}
NOT_JSON = {
    "half of it": b'{"a": ',
    "NUL": b"\0",
    "blanks": b"  ",
    "two of them": b"{} {}",
    "invalid UTF-8": b'{"a": "\xff\xfe"}',
    "overlong UTF-8": b'{"a": "\xc0\xae"}',
    "100,000 deep": DEEP,
    "100,000 deep in a field nobody reads": b'{"extra": ' + DEEP + b"}",
    "100,000 objects deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a form": b"env_dir=terminal_env",
    "XML": b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><a>&b;</a>",
    "packed": gzip.compress(b"{}"),
}


@pytest.mark.parametrize(("name", "program", "caller"), doors())
def test_no_body_is_refused_by_what_needs_one(cluster, env, name, program, caller):
    client, path = way(cluster, env, name, program, caller)
    inside = CALLS[name].none_sent
    assert verdict(client.post(path)) == expected(name, program, caller, inside)
    assert verdict(client.post(path, content=b"", headers=JSON)) == expected(name, program, caller, inside)


@pytest.mark.parametrize(("name", "program", "caller"), doors())
def test_json_that_is_no_object_is_refused(cluster, env, name, program, caller):
    client, path = way(cluster, env, name, program, caller)
    found = {
        what: verdict(client.post(path, content=body, headers=JSON)) for what, body in NOT_OBJECTS.items()
    }
    wanted = dict.fromkeys(NOT_OBJECTS, expected(name, program, caller, INVALID))
    if CALLS[name].none_sent == FINE:
        wanted["null"] = expected(name, program, caller, FINE)  # as good as no body
    assert found == wanted


@pytest.mark.parametrize(("name", "program", "caller"), doors())
def test_what_is_no_json_is_refused(cluster, env, name, program, caller):
    client, path = way(cluster, env, name, program, caller)
    wanted = {expected(name, program, caller, MALFORMED)}
    if wanted == {NO_CALL}:
        wanted.add(MALFORMED)  # what is too deep is seen before whom it is for
    for what, body in NOT_JSON.items():
        assert verdict(client.post(path, content=body, headers=JSON)) in wanted, what


@pytest.mark.parametrize(("name", "program", "caller"), doors(only_open=True))
def test_a_field_of_the_wrong_type_or_no_finite_number_is_refused(cluster, env, name, program, caller):
    client, path = way(cluster, env, name, program, caller)
    for call, field, value in wrong_fields():
        if call != name:
            continue
        rest = {key: kept for key, kept in CALLS[name].valid.items() if key != field}
        body = json.dumps(rest)[:-1] + (", " if rest else "") + f'"{field}": {value}}}'
        reply = client.post(path, content=body, headers=JSON)
        assert verdict(reply) in (INVALID, MALFORMED), (field, value)
        assert reply.json().get("key", field).split(".")[0] == field, (field, value)


@pytest.mark.parametrize("length", [400, 5000, 1_000_000])
@pytest.mark.parametrize(("name", "program", "caller"), doors(only_open=True))
def test_a_number_without_end_is_refused_or_passed_over(cluster, env, name, program, caller, length):
    client, path = way(cluster, env, name, program, caller)
    body = json.dumps({**CALLS[name].valid, "extra": 0}).replace(": 0", ": 1" + "0" * length)
    found = verdict(client.post(path, content=body, headers=JSON))
    assert found[0] < 500
    if length > 400:
        assert found in (MALFORMED, INVALID) or CALLS[name].is_hot


BEYOND = 10**30
"""More than 64 bits hold."""
FREE = {
    "event": ("event", {"event": {"deep": [{"a": BEYOND}]}}),
    "a step's metadata": ("step", {"trajectory_metadata": {"a": BEYOND}}),
    "an API call": ("step", {"actions": [{"api_call": {"name": "x", "args": {"a": -BEYOND}}}]}),
    "metadata": ("create", {"env_spec": {}, "metadata": {"a": BEYOND}}),
    "an env's spec": ("create", {"env_spec": {**small(), "extra": BEYOND}}),
    "a runner's options": ("create", {"env_spec": {**small(), "fake": {"frame_bytes": BEYOND}}}),
    "a task's spec": ("create", {"env_spec": small(), "task_spec": {"id": "t", "metadata": {"a": BEYOND}}}),
    "resources": ("create", {"env_spec": {**small(), "resources": {"cpu": BEYOND}}}),
    "a resolution": (
        "create",
        {"env_spec": {**small(), "observation": [{"type": "rgb_screen", "resolution": [BEYOND, 1]}]}},
    ),
    "metrics": ("heartbeat", {"worker_id": "w9", "metrics": {"a": BEYOND}}),
    "a count": ("heartbeat", {"worker_id": "w9", "env_count": BEYOND}),
    "a sequence": ("heartbeat", {"worker_id": "w9", "sequence": BEYOND}),
    "a process": ("heartbeat", {"worker_id": "w9", "pid": BEYOND}),
    "a worker's metadata": (
        "register",
        {"worker_id": "w9", "url": "http://169.254.0.9:1", "metadata": {"pid": BEYOND}},
    ),
}


TYPED = ("a count", "a sequence", "a process", "a worker's metadata", "a resolution")


@pytest.mark.parametrize("what", FREE)
def test_a_number_of_more_than_64_bits_is_carried_where_anything_is_and_refused_where_a_number_counts(
    cluster, env, what
):
    name, body = FREE[what]
    for call, program, caller in doors(only_open=True):
        if call != name:
            continue
        client, path = way(cluster, env, call, program, caller)
        reply = client.post(path, json=body)
        found = verdict(reply)
        if found == (201, None):
            assert verdict(client.post(f"/envs/{reply.json()['env_id']}/reset"))[0] < 500
            assert verdict(client.post(f"/envs/{reply.json()['env_id']}/close")) == FINE
        refused = found in (INVALID, MALFORMED, (422, "spec_invalid"), (422, "action_invalid"))
        assert refused if what in TYPED else refused or found[0] in (200, 201, 404), (program, caller, found)
    assert verdict(cluster.by("operator").get("/workers/list")) == FINE


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data", "json", "\xff", ""]
)
@pytest.mark.parametrize(("name", "program", "caller"), doors())
def test_another_content_type_than_json_is_refused_where_a_body_is_needed(
    cluster, env, name, program, caller, content_type
):
    client, path = way(cluster, env, name, program, caller)
    reply = client.post(path, content=b"[]", headers={"Content-Type": content_type.encode("latin-1")})
    assert verdict(reply) == expected(name, program, caller, INVALID)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize(("name", "program", "caller"), doors())
def test_another_method_is_no_call(cluster, env, name, program, caller, method):
    client, path = way(cluster, env, name, program, caller)
    found = verdict(client.request(method, path))
    allowed = (405, "method_not_allowed")
    if name == "create" and method == "GET":
        allowed = (404, "env_not_found")  # what GET /envs/<id> says of an id that nobody has
    assert found == expected(name, program, caller, allowed)


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize(("name", "program", "caller"), LARGE)
def test_a_hundred_megabytes_are_refused(cluster, env, name, program, caller, chunked):
    client, path = way(cluster, env, name, program, caller)
    headers = JSON if chunked else {**JSON, "Content-Length": str(100 * len(MEGABYTE))}

    def body() -> Iterator[bytes]:
        yield from (MEGABYTE for _ in range(100))

    found = verdict(client.post(path, content=body(), headers=headers))
    assert found in (expected(name, program, caller, TOO_LARGE), TOO_LARGE)


@pytest.mark.parametrize("program", ["master", "worker"])
@pytest.mark.parametrize("env_id", ["none", "x" * 200, "%00", "%ff", "%F0%9F%92%A9", "~", "create", "None"])
def test_an_id_nobody_has_is_not_found(cluster, program, env_id):
    for caller in ("operator", "client") if program == "master" else ("worker",):
        for call in ("step", "reset", "close", "copy_to_env", "keepalive"):
            reply = cluster.by(caller, program).post(f"/envs/{env_id}/{call}", json=CALLS["copy in"].valid)
            assert verdict(reply) == (404, "env_not_found"), call
    assert verdict(cluster.by("none", program).post(f"/envs/{env_id}/step", json={})) == UNAUTHORIZED


@pytest.mark.parametrize("call", ["heartbeat", "drain", "deregister"])
@pytest.mark.parametrize("worker_id", ["none", "../../x", "\0", "", "w" * 129])
def test_a_worker_nobody_knows_is_not_found(cluster, call, worker_id):
    found = verdict(cluster.by("worker").post(f"/workers/{call}", json={"worker_id": worker_id}))
    assert found == (INVALID if len(worker_id) > 128 else (404, "worker_not_found"))


ACTIONS = {
    "no object": 5,
    "an unknown device": {"mose": {}},
    "an unknown key": {"mouse": {"hover": [1, 1]}},
    "a point of three": {"mouse": {"move": [1, 1, 1]}},
    "a point of texts": {"mouse": {"move": ["1", "1"]}},
    "a point off the screen": {"mouse": {"left_click": [64, 48]}},
    "a point below nought": {"mouse": {"left_click": [-1, 0]}},
    "a point beyond all": {"mouse": {"left_click": [10**30, 0]}},
    "text that is none": {"keyboard": {"text": 5}},
    "text without end": {"keyboard": {"text": "x" * 100_001}},
    "keys without end": {"keyboard": {"keys": ["a"] * 21}},
    "a scroll without end": {"mouse": {"scroll": 10**9}},
    "a wait without end": {"action": "wait", "time": 10**9},
    "a wait before now": {"action": "wait", "seconds": -1},
    "an unknown control": {"action": "format"},
}


@pytest.mark.parametrize("program", ["master", "worker"])
@pytest.mark.parametrize("what", ACTIONS)
def test_an_action_that_is_none_is_refused_and_injected_in_no_part(env, program, what):
    before = env.post("capture_observation").json()["observation"]["cli_stdout"]
    actions = [{"keyboard": {"text": "x"}}, ACTIONS[what]]
    reply = env.post("step", {"actions": actions}, program=program)
    assert verdict(reply) == (INVALID if what == "no object" else (422, "action_invalid"))
    assert env.post("capture_observation").json()["observation"]["cli_stdout"] == before


@pytest.mark.parametrize("program", ["master", "worker"])
def test_more_actions_than_a_step_takes_are_refused(env, program):
    reply = env.post("step", {"actions": [{"keyboard": {"text": "x"}}] * 100_000}, program=program)
    assert verdict(reply) == INVALID
    assert verdict(env.post("step", {}, program=program)) == FINE
