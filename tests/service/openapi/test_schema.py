from __future__ import annotations

from collections.abc import Sequence

import pytest

from gym_queue.errors import error_types
from gym_queue.master.calls import MASTER_CALLS
from gym_queue.protocol.calls import Call
from gym_queue.protocol.openapi import Title, document
from gym_queue.worker.calls import WORKER_CALLS

POSTS = (
    *("reset", "step", "close", "capture_observation", "trajectory_event", "episode_limits", "keepalive"),
    *("save_state", "load_state", "pause_recording", "resume_recording", "copy_to_env", "copy_from_env"),
)
GETS = ("fetch_path", "episode_dir", "session_info")
OF_BOTH = {
    *(("POST", f"/envs/{{env_id}}/{name}") for name in POSTS),
    *(("GET", f"/envs/{{env_id}}/{name}") for name in GETS),
    *{("POST", "/envs/create"), ("GET", "/envs/list"), ("GET", "/envs/{env_id}"), ("GET", "/health")},
}
OF_A_MASTER = {
    *(("POST", f"/workers/{name}") for name in ("register", "heartbeat", "deregister", "drain", "undrain")),
    *(("GET", path) for path in ("/workers/list", "/api/metrics", "/dashboard", "/")),
}
NEVER_SENT = {
    "internal",
    "connection_failed",
    "tls_failed",
    "agent_failed",
    "agent_timeout",
    "model_denied",
    "model_unreachable",
    "output_failed",
    "startup_failed",
}
OF_NO_CALL = {"not_found", "method_not_allowed"}
TABLES = pytest.mark.parametrize("calls", [MASTER_CALLS, WORKER_CALLS], ids=["master", "worker"])


@pytest.mark.parametrize(("calls", "asked"), [(MASTER_CALLS, OF_BOTH | OF_A_MASTER), (WORKER_CALLS, OF_BOTH)])
def test_every_call_of_the_wire_is_described(calls: Sequence[Call], asked: set[tuple[str, str]]) -> None:
    assert asked <= {(call.method, call.path) for call in calls}


def test_every_error_of_the_wire_is_declared_by_some_call() -> None:
    declared = {kind.code for call in (*MASTER_CALLS, *WORKER_CALLS) for kind in call.errors}
    assert set(error_types()) - declared == NEVER_SENT | OF_NO_CALL


@TABLES
def test_errors_are_declared_under_their_own_status(calls: Sequence[Call]) -> None:
    paths = document(Title("a program", "1", "a token"), calls)["paths"]
    for call in calls:
        responses = paths[call.path][call.method.lower()]["responses"]
        for kind in call.errors:
            content = responses[str(kind.status)]["content"]["application/json"]
            assert kind.code in content["schema"]["allOf"][1]["properties"]["code"]["enum"]


@TABLES
def test_examples_are_what_they_are_examples_of(calls: Sequence[Call]) -> None:
    for call in calls:
        if call.body is not None:
            call.body.model_validate(call.body_example)
        if call.reply is not None:
            call.reply.model_validate(call.reply_example)


@TABLES
def test_every_call_needs_a_token_but_the_open_ones(calls: Sequence[Call]) -> None:
    paths = document(Title("a program", "1", "a token"), calls)["paths"]
    is_open = {call.path for call in calls if paths[call.path][call.method.lower()].get("security") == []}
    pages = {"/", "/dashboard", "/dashboard/app.js", "/dashboard/style.css", "/dashboard/login"}
    assert is_open <= {*pages, "/health"}
