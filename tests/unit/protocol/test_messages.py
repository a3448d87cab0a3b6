from __future__ import annotations

import math
from typing import Any

import pytest

from gym_queue.errors import RequestInvalid
from gym_queue.protocol.fleet import Registered, Registration
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.queues import queue_name
from gym_queue.protocol.sessions import (
    CreateReply,
    CreateRequest,
    EpisodeLimits,
    Message,
    Opened,
    ResetRequest,
    SessionInfo,
    StepRequest,
)

SPEC: dict[str, Any] = {"id": "e"}
REGISTRATION = {"worker_id": "w1", "url": "http://h:1", "max_envs": 2}


@pytest.mark.parametrize(
    "raw",
    [
        {"env_dir": "d"},
        {"env_dir": "d", "task_id": "t"},
        {"env_spec": SPEC},
        {"env_spec": SPEC, "task_spec": {"id": "t"}},
        {"benchmark": "b", "env_name": "e", "task_id": "t"},
    ],
)
def test_a_create_names_one_source(raw: dict) -> None:
    assert parse_model(CreateRequest, raw).model_dump(exclude_unset=True) == raw


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"task_id": "t"},
        {"env_dir": "d", "env_spec": SPEC},
        {"env_dir": "d", "env_spec": {}},
        {"env_dir": "d", "benchmark": "b", "env_name": "e"},
        {"env_spec": SPEC, "benchmark": "b", "env_name": "e"},
    ],
)
def test_a_create_that_names_none_or_two_sources_is_refused(raw: dict) -> None:
    with pytest.raises(
        RequestInvalid, match="give exactly one of env_dir, env_spec, or benchmark with env_name"
    ):
        parse_model(CreateRequest, raw)


def test_an_env_name_without_its_benchmark_is_refused() -> None:
    with pytest.raises(RequestInvalid, match="env_name goes with benchmark"):
        parse_model(CreateRequest, {"env_name": "e"})


def test_null_objects_are_empty_ones() -> None:
    request = parse_model(CreateRequest, {"env_dir": "d", "verifier_env": None, "metadata": None})
    assert (request.verifier_env, request.metadata) == ({}, {})


@pytest.mark.parametrize("variables", [{"A=B": "1"}, {"": "1"}, {"A\0": "1"}, {"A": "\0"}])
def test_what_cannot_be_a_variable_is_refused_at_the_door(variables: dict) -> None:
    with pytest.raises(RequestInvalid, match="cannot be an environment variable"):
        parse_model(CreateRequest, {"env_dir": "d", "verifier_env": variables})


@pytest.mark.parametrize("env_id", ["", "../x", "a/b", "a\n", "-a", ".a", "é", "x" * 129, 7])
def test_an_env_id_that_is_no_plain_name_is_refused(env_id: object) -> None:
    with pytest.raises(RequestInvalid, match="env_id"):
        parse_model(CreateRequest, {"env_dir": "d", "env_id": env_id})


@pytest.mark.parametrize(
    ("model", "fields", "key"),
    [
        (CreateRequest, {"env_dir": "d", "priority": 10}, "priority"),
        (CreateRequest, {"env_dir": "d", "queue_timeout_s": math.nan}, "queue_timeout_s"),
        (CreateRequest, {"env_dir": "d", "lease_s": math.inf}, "lease_s"),
        (CreateRequest, {"env_dir": "d", "verifier_env": {"A": 1}}, "verifier_env.A"),
        (ResetRequest, {"seed": "x"}, "seed"),
        (ResetRequest, {"seed": 2**64}, "seed"),
        (ResetRequest, {"cache_level": "deep"}, "cache_level"),
        (ResetRequest, {"post_reset_policy": "wild"}, "post_reset_policy"),
        (StepRequest, {"actions": {}}, "actions"),
        (StepRequest, {"actions": ["x"]}, "actions.0"),
        (StepRequest, {"actions": [{}] * 1001}, "actions"),
        (StepRequest, {"wait_between_actions": math.inf}, "wait_between_actions"),
        (StepRequest, {"wait_between_actions": 10**400}, "wait_between_actions"),
        (EpisodeLimits, {"max_steps": 0}, "max_steps"),
        (EpisodeLimits, {"timeout_sec": 0}, "timeout_sec"),
        (Registration, {**REGISTRATION, "url": "http://user@h"}, "url"),
        (Registration, {**REGISTRATION, "url": "file:///x"}, "url"),
        (Registration, {**REGISTRATION, "worker_id": "a.b"}, "worker_id"),
        (Registration, {**REGISTRATION, "resources": {"cpu": -1}}, "resources.cpu"),
    ],
)
def test_a_wrong_field_is_named(model: type[Message], fields: dict, key: str) -> None:
    with pytest.raises(RequestInvalid, match=f"^{key}: ") as caught:
        parse_model(model, fields)
    assert caught.value.details == {"key": key}


def test_a_sentence_says_how_many_more_are_wrong() -> None:
    with pytest.raises(RequestInvalid, match=r"^seed: .* \(and 1 more\)$"):
        parse_model(ResetRequest, {"seed": "x", "use_cache": "maybe"})


@pytest.mark.parametrize("raw", [None, [], "x", 5])
def test_what_is_no_object_is_told_so(raw: object) -> None:
    with pytest.raises(RequestInvalid, match=r"^the request: .*dictionary"):
        parse_model(ResetRequest, raw)


def test_unknown_fields_are_ignored_on_the_way_in() -> None:
    assert parse_model(ResetRequest, {"seed": 1, "later": True}) == ResetRequest(seed=1)


def test_session_info_keeps_what_other_servers_add() -> None:
    info = parse_model(SessionInfo, {"env_id": "e", "runner_name": "DockerRunner", "extra": 1})
    assert info.model_dump()["extra"] == 1


def test_secrets_are_not_shown() -> None:
    session = SessionInfo(env_id="e", runner_name="r", vnc_password="secret", ssh_password="secret")
    registered = Registered(worker_id="w", master_time=0, broker_url="redis://:secret@h")
    assert "secret" not in f"{session!r}{session}{registered!r}{registered}"


def test_a_registration_of_an_older_worker_is_taken() -> None:
    registration = parse_model(Registration, {**REGISTRATION, "metadata": None})
    assert (registration.queues, registration.metadata.available_runners) == ([], None)


def test_queue_names_tell_runner_and_worker() -> None:
    assert queue_name("fake", "w1") == "env.fake.w1"


def test_the_secrets_of_creates_are_not_shown() -> None:
    request = CreateRequest(env_dir="e", verifier_env={"KEY": "hunter2"})
    reply = CreateReply(env_id="e1", env_token="hunter2")
    opened = Opened(env_id="e1", worker_id="w1", worker_url="http://w1", env_token="hunter2")
    assert "hunter2" not in f"{request!r}{request}{reply!r}{opened!r}"
