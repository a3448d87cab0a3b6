"""Requests as values: built here, carried by a transport."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from gym_queue.client.retry import KEYED, ONCE, RUNNER_S, SAFE, Retries
from gym_queue.errors import RequestInvalid
from gym_queue.protocol.observations import MSGPACK_TYPE
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import CreateRequest, ResetRequest, StepRequest

CREATE_CONNECT_S = 10.0
"""A server that could not be reached once for so long, longer than a restart takes, is most likely not running."""
CLOSE_TIMEOUT_S = 60.0
CLOSE_RETRIES_S = 15.0
"""An environment that nobody closes ends with its lease: no reason to hold up the end of a program."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request."""

    method: str
    path: str
    timeout_s: float
    """Deadline of the whole call, pauses and repetitions included."""
    retries: Retries
    body: bytes | None = None
    """JSON."""
    query: tuple[tuple[str, str], ...] = ()
    accept: str = "application/json"
    key: str | None = None
    """Idempotency-Key: every repetition carries the same one."""


def create(request: CreateRequest, *, timeout_s: float, connect_s: float = CREATE_CONNECT_S) -> Call:
    """Return the call that opens an environment; it may be repeated, since the client names the environment.

    Args:
        request: What to open.
        timeout_s: Beyond the wait for a free slot that the request allows.
        connect_s: How long a server that was never reached is tried.
    """
    queue_s = request.queue_timeout_s or 0.0
    retries = Retries(connect_s, math.inf, capacity_s=queue_s, runner_s=RUNNER_S)
    body = encode(request.model_dump(exclude_defaults=True))
    return Call("POST", "/envs/create", queue_s + timeout_s, retries, body, key=_new_key())


def reset(env_id: str, fields: Mapping[str, Any], *, timeout_s: float, retries: Retries = KEYED) -> Call:
    """Return the call that starts an episode.

    Args:
        env_id: Of which environment.
        fields: Of ResetRequest.
        timeout_s: Deadline.
        retries: ONCE for a server that may not know keys.

    Raises:
        RequestInvalid: A field is not valid.
    """
    body = encode(parse_model(ResetRequest, fields).model_dump())
    path = env_path(env_id, "reset")
    return Call("POST", path, timeout_s, retries, body, accept=MSGPACK_TYPE, key=_new_key())


def step(env_id: str, fields: Mapping[str, Any], *, timeout_s: float, retries: Retries = KEYED) -> Call:
    """Return the call that injects actions; arguments and errors as ``reset``, with the fields of StepRequest."""
    body = encode(parse_model(StepRequest, fields).model_dump(exclude_none=True))
    path = env_path(env_id, "step")
    return Call("POST", path, timeout_s, retries, body, accept=MSGPACK_TYPE, key=_new_key())


def post(
    env_id: str,
    name: str,
    fields: Mapping[str, Any] | None = None,
    *,
    timeout_s: float,
    retries: Retries = ONCE,
) -> Call:
    """Return a call that changes something in an environment; ``retries`` is SAFE for one that may happen twice."""
    return Call("POST", env_path(env_id, name), timeout_s, retries, encode(fields or {}))


def get(env_id: str, name: str, *, timeout_s: float, **query: str) -> Call:
    """Return a call that only reads."""
    return Call("GET", env_path(env_id, name), timeout_s, SAFE, query=tuple(query.items()))


def put_file(env_id: str, path: str, *, timeout_s: float) -> Call:
    """Return the call that puts a file into the sandbox; a carrier adds the bytes. The second time it does the same."""
    return Call("PUT", env_path(env_id, "files"), timeout_s, KEYED, query=(("path", _sendable(path)),))


def get_file(env_id: str, path: str, *, timeout_s: float) -> Call:
    """Return the call that gets a file out of the sandbox."""
    return get(env_id, "files", timeout_s=timeout_s, path=_sendable(path))


def _sendable(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise RequestInvalid(f"{path!r} is not text that can be sent: choose another name") from None
    return path


def capture_observation(env_id: str, *, timeout_s: float) -> Call:
    """Return the call that observes without a step."""
    return Call("POST", env_path(env_id, "capture_observation"), timeout_s, SAFE, b"{}", accept=MSGPACK_TYPE)


def close(env_id: str, *, timeout_s: float = CLOSE_TIMEOUT_S, retries: Retries | None = None) -> Call:
    """Return the call that ends an environment; it may be repeated: the second time there is nothing to close."""
    patient = retries or Retries(CLOSE_RETRIES_S, CLOSE_RETRIES_S)
    return Call("POST", env_path(env_id, "close"), timeout_s, patient, b"{}", key=_new_key())


def keepalive(env_id: str, *, timeout_s: float) -> Call:
    """Return the call that renews an environment's lease."""
    return Call("POST", env_path(env_id, "keepalive"), timeout_s, SAFE, b"{}")


def _new_key() -> str:
    return str(uuid.uuid4())


def env_path(env_id: str, name: str) -> str:
    return f"/envs/{quote(env_id, safe='')}/{name}"


def encode(fields: Mapping[str, Any]) -> bytes:
    """Return fields as JSON; NumPy's numbers and arrays become plain ones.

    Raises:
        RequestInvalid: Something in it is not JSON's.
    """
    try:
        return json.dumps(fields, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestInvalid(f"the request cannot be written as JSON: {error}") from None


def _plain(value: object) -> object:
    if isinstance(value, PurePath):
        return str(value)
    to_list: Callable[[], object] | None = getattr(value, "tolist", None)
    if to_list is None:
        raise TypeError(f"a {type(value).__name__} has no place in it")
    return to_list()
