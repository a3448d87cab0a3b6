from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gym_queue.client import calls
from gym_queue.client.replies import read_observation, read_step
from gym_queue.errors import BadReply, RequestInvalid
from gym_queue.protocol.sessions import CreateRequest


def no_fetch(path: str) -> bytes:
    raise AssertionError(path)


def test_a_create_sends_only_what_was_said_and_waits_for_its_slot():
    call = calls.create(CreateRequest(env_id="e", env_dir="x", queue_timeout_s=40), timeout_s=300)
    assert json.loads(call.body or b"") == {"env_id": "e", "env_dir": "x", "queue_timeout_s": 40}
    assert call.timeout_s == 340


def test_numpy_numbers_and_paths_are_sent_as_plain_ones():
    action = {"mouse": {"left_click": np.array([3, 4]), "scroll": np.int64(2)}}
    body = calls.step("e", {"actions": [action]}, timeout_s=1).body
    assert json.loads(body or b"")["actions"] == [{"mouse": {"left_click": [3, 4], "scroll": 2}}]
    assert calls.encode({"path": Path("/a")}) == b'{"path": "/a"}'


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, b"bytes"])
def test_what_json_cannot_hold_is_refused_before_it_is_sent(value):
    with pytest.raises(RequestInvalid, match="JSON"):
        calls.encode({"x": value})


def test_a_reset_names_every_field_so_that_null_policy_means_the_workers_own():
    body = calls.reset("e", {"post_reset_policy": None}, timeout_s=1).body
    assert json.loads(body or b"")["post_reset_policy"] is None


def test_an_invalid_cache_level_is_refused_before_it_is_sent():
    with pytest.raises(RequestInvalid, match="cache_level"):
        calls.reset("e", {"cache_level": "warm"}, timeout_s=1)


def test_an_env_id_is_one_part_of_the_path():
    assert calls.close("../workers list").path == "/envs/..%2Fworkers%20list/close"


def test_a_step_without_observation_reads_as_an_empty_one():
    reply = {"observation": {}, "reward": 1, "done": False, "info": {"step": 0}}
    assert read_step(reply, no_fetch) == ({}, 1.0, False, {"step": 0})


@pytest.mark.parametrize(
    "reply", [{}, {"observation": {}}, {"observation": 3, "reward": 0, "done": 0, "info": {}}]
)
def test_a_step_reply_that_lacks_something_is_a_bad_reply(reply):
    with pytest.raises(BadReply):
        read_step(reply, no_fetch)


def test_a_screen_is_fetched_once_and_only_when_asked_for():
    fetched: list[str] = []

    def fetch(path: str) -> bytes:
        fetched.append(path)
        return b"png"

    reply = {"observation": {"screen": {"path": "/ep/frame.png", "remote": True}}}
    screen = read_observation(reply, fetch)["screen"]
    assert fetched == []
    assert (screen.png(), screen.png()) == (b"png", b"png")
    assert fetched == ["/ep/frame.png"]
