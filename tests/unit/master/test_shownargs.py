from __future__ import annotations

import json
from typing import Any

from gym_queue.master.shownargs import MOST_CHARS, shown_arguments
from gym_queue.protocol.sessions import CreateRequest


def shown(**fields: Any) -> str:
    return shown_arguments(CreateRequest(env_id="e1", **fields))


def test_what_names_the_environment_is_shown() -> None:
    text = shown(
        env_dir="terminal_env", task_id="largest_file", runner="local", priority=3, metadata={"run": 7}
    )
    assert json.loads(text) == {
        "env_dir": "terminal_env",
        "task_id": "largest_file",
        "runner": "local",
        "priority": 3,
        "metadata": {"run": 7},
    }


def test_of_specs_nothing_is_shown_but_what_they_are() -> None:
    spec = {"id": "small", "runner": "fake", "vnc": {"password": "pw"}, "hooks": {"post_start": ["login pw"]}}
    text = shown(env_spec=spec, task_spec={"id": "t", "init": "pw"}, verifier_env={"pw": "pw", "b": "pw"})
    assert json.loads(text) == {
        "env_spec": {"id": "small", "runner": "fake", "..": "2 more"},
        "task_spec": {"id": "t", "..": "1 more"},
        "verifier_env": "(2 hidden)",
    }


def test_secrets_in_metadata_are_hidden() -> None:
    assert "pw-1" not in shown(env_dir="e", metadata={"api_key": "pw-1", "at": "redis://:pw-1@host"})


def test_it_is_short_whatever_was_sent() -> None:
    assert len(shown(env_dir="e", metadata={"x": "y" * 10**6})) == MOST_CHARS
    assert len(shown(env_spec={"id": "i" * 10**6})) < 1000
