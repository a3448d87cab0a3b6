"""The calls that take a body, who may make them, and bodies that none of them takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from gym_queue.protocol import fleet, sessions
from tests.service.hostile.cluster import (
    FORBIDDEN,
    INVALID,
    MALFORMED,
    UNAUTHORIZED,
    Cluster,
    Env,
    Verdict,
)

NO_CALL = (404, "not_found")


@dataclass(frozen=True)
class Call:
    """One call that takes a body."""

    kind: str
    """Whose it is: an env's, a create, or a worker's word."""
    path: str
    model: type[BaseModel]
    valid: dict[str, Any]
    """What its model takes; nothing comes of it."""
    is_hot: bool = False
    """Answered past FastAPI, by the environment's own process."""

    @property
    def none_sent(self) -> Verdict:
        """What no body at all is."""
        if self.path == "reset":
            return (200, None)  # all of a reset is optional
        return MALFORMED if self.is_hot else INVALID


CALLS = {
    "reset": Call("env", "reset", sessions.ResetRequest, {}, is_hot=True),
    "step": Call("env", "step", sessions.StepRequest, {}, is_hot=True),
    "event": Call("env", "trajectory_event", sessions.TrajectoryEvent, {"event": {}}),
    "limits": Call("env", "episode_limits", sessions.EpisodeLimits, {}),
    "copy in": Call("env", "copy_to_env", sessions.CopyToEnv, {"host_src": "x", "container_dst": "y"}),
    "copy out": Call("env", "copy_from_env", sessions.CopyFromEnv, {"container_src": "x", "host_dst": "y"}),
    "create": Call("create", "create", sessions.CreateRequest, {"env_spec": {}}),
    "register": Call(
        "workers", "register", fleet.Registration, {"worker_id": "w9", "url": "http://169.254.0.9:1"}
    ),
    "heartbeat": Call("workers", "heartbeat", fleet.Heartbeat, {"worker_id": "w9"}),
    "deregister": Call("workers", "deregister", fleet.WorkerRef, {"worker_id": "w9"}),
    "drain": Call("workers", "drain", fleet.WorkerRef, {"worker_id": "w9"}),
}
DOORS: dict[tuple[str, str, str], Verdict | None] = {
    ("env", "master", "client"): None,
    ("env", "master", "worker"): FORBIDDEN,
    ("env", "master", "none"): UNAUTHORIZED,
    ("env", "worker", "client"): None,
    ("env", "worker", "worker"): None,
    ("env", "worker", "none"): UNAUTHORIZED,
    ("create", "master", "client"): None,
    ("create", "master", "worker"): FORBIDDEN,
    ("create", "master", "none"): UNAUTHORIZED,
    ("create", "worker", "worker"): None,
    ("create", "worker", "none"): UNAUTHORIZED,
    ("workers", "master", "client"): FORBIDDEN,
    ("workers", "master", "worker"): None,
    ("workers", "master", "none"): UNAUTHORIZED,
    ("workers", "worker", "worker"): NO_CALL,
    ("workers", "worker", "none"): UNAUTHORIZED,
}
"""Kind of call, program, token → what everything is answered there; None lets it in."""


def doors(*, only_open: bool = False) -> list[tuple[str, str, str]]:
    """Return every call by every way in: its name, the program, the caller."""
    return [
        (name, program, caller)
        for name, call in CALLS.items()
        for (kind, program, caller), refusal in DOORS.items()
        if kind == call.kind and not (only_open and refusal is not None)
    ]


def way(cluster: Cluster, env: Env, name: str, program: str, caller: str) -> tuple[Any, str]:
    """Return the client that makes a call by one way, and its path."""
    call = CALLS[name]
    top = {"env": f"/envs/{env.env_id}", "create": "/envs", "workers": "/workers"}[call.kind]
    if call.kind == "env" and caller == "client":
        return env.client(program), f"{top}/{call.path}"
    return cluster.by(caller, program), f"{top}/{call.path}"


def expected(name: str, program: str, caller: str, inside: Verdict) -> Verdict:
    """Return what a call is answered, when those who are let in get ``inside``."""
    return DOORS[CALLS[name].kind, program, caller] or inside


def wrong_fields() -> Iterator[tuple[str, str, str]]:
    """Yield call, field and a JSON value of a type that the field never takes."""
    for name, call in CALLS.items():
        schema = call.model.model_json_schema()
        for field, described in schema["properties"].items():
            for kind, values in WRONG.items():
                if kind in _types(described):
                    yield from ((name, field, value) for value in values)
                    break


WRONG = {
    "boolean": ('"text"', "7", "[]", "{}", "NaN"),
    "integer": ('"text"', "[]", "{}", "1.5", "NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400),
    "number": ('"text"', "[]", "{}", "NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400),
    "array": ('"text"', "7", "{}", "true"),
    "object": ('"text"', "7", "[]", "true"),
    "string": ("7", "1.5", "true", "[]", "{}", '["x"]'),
}
"""JSON type of a field → values that are none, as JSON text; some are no JSON at all."""


def _types(described: dict[str, Any]) -> set[str]:
    """Return the JSON types a field takes."""
    if "$ref" in described:
        return {"object"}
    found = set()
    for each in described.get("anyOf", [described]):
        kinds = each.get("type", "object" if "$ref" in each else "string")
        found |= {kinds} if isinstance(kinds, str) else set(kinds)
    return found - {"null"}
