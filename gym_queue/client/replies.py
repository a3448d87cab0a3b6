"""Replies as values, and what they mean: an object, an observation, or the error they stand for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack
from pydantic import ConfigDict

from gym_queue.errors import BadReply, GymQueueError, RequestInvalid, Unauthorized, from_wire
from gym_queue.protocol.observations import MSGPACK_TYPE, with_screen
from gym_queue.protocol.parse import Model, parse_model
from gym_queue.protocol.sessions import Message, SessionInfo
from gym_queue.protocol.surface import StepResult


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply, read whole."""

    status: int
    content_type: str
    body: bytes
    request_id: str
    retry_after_s: int | None = None
    replayed: bool = False
    """What an earlier call with the same key was answered."""

    def facts(self) -> dict[str, Any]:
        """Return what the details of an error say about it."""
        facts: dict[str, Any] = {"request_id": self.request_id, "http_status": self.status}
        if self.retry_after_s is not None:
            facts["retry_after_s"] = self.retry_after_s
        return facts | ({"replayed": True} if self.replayed else {})


class Observed(Message):
    """Reply of reset and capture_observation."""

    observation: dict[str, Any] | None


class Stepped(Message):
    """Reply of step."""

    model_config = ConfigDict(allow_inf_nan=True)

    observation: dict[str, Any] | None
    reward: float
    done: bool
    info: dict[str, Any]


class SessionReply(Message):
    """Reply of session_info."""

    session: SessionInfo | None


class SavedState(Message):
    """Reply of save_state."""

    snapshot_path: Path | None


def read_object(reply: Reply) -> dict[str, Any]:
    """Return what a good reply holds.

    Raises:
        GymQueueError: The error it stands for.
        BadReply: It is not of the protocol.
    """
    check(reply)
    content = _decode(reply)
    if not isinstance(content, dict):
        raise _not_ours(reply)
    return content


def check(reply: Reply) -> None:
    """Return if the reply is a good one.

    Raises:
        GymQueueError: The error it stands for; its details hold ``request_id`` and ``http_status``; ``retry_after_s``
            where the server says it, and ``replayed`` when the reply is an earlier call's of the same key.
    """
    if 200 <= reply.status < 300:
        return
    content = _decode(reply)
    if isinstance(content, dict) and reply.status >= 400:
        raise _with_remedy(from_wire(reply.status, {**reply.facts(), **content}))
    if reply.status == 401:
        raise _with_remedy(Unauthorized("the server answered 401", reply.facts()))
    raise _not_ours(reply)


def _with_remedy(error: GymQueueError) -> GymQueueError:
    if not isinstance(error, Unauthorized) or "GYM_ANYTHING_TOKEN" in error.message:
        return error
    remedy = (
        "give the master's token: token=.., GYM_ANYTHING_TOKEN, or the token file of the user that runs it"
    )
    return type(error)(f"{error.message}: {remedy}", error.details)


def _decode(reply: Reply) -> Any:
    """Return the reply's content; None when it is neither JSON nor MessagePack."""
    try:
        if reply.content_type.startswith(MSGPACK_TYPE):
            return msgpack.unpackb(reply.body, raw=False, strict_map_key=False)
        return json.loads(reply.body)
    except (ValueError, RecursionError, msgpack.exceptions.UnpackException):
        return None


def _not_ours(reply: Reply) -> BadReply:
    shown = " ".join(reply.body[:200].decode("utf-8", "replace").split())
    return BadReply(
        f"the server answered {reply.status} with what is not a reply of the protocol: {shown!r}; "
        "is remote_url that of a master or a worker?",
        reply.facts(),
    )


def read_model(model: type[Model], content: Mapping[str, Any]) -> Model:
    """Return a reply's content as ``model``.

    Raises:
        BadReply: It does not fit.
    """
    try:
        return parse_model(model, content)
    except RequestInvalid as error:
        raise BadReply(f"the reply is not of this protocol: {error}", error.details) from None


def screen_path(content: Mapping[str, Any]) -> str | None:
    """Return where the reply's screen must be fetched from; None when it has no screen, or its image is in it."""
    observation = content.get("observation")
    screen = observation.get("screen") if isinstance(observation, Mapping) else None
    if not isinstance(screen, Mapping) or "png" in screen or "png_b64" in screen:
        return None
    path = screen.get("path")
    return str(path) if path else None


def read_observation(content: Mapping[str, Any], fetch: Callable[[str], bytes] | None) -> dict[str, Any]:
    """Return a reply's observation; its screen fetches itself when only a path was sent."""
    return with_screen(read_model(Observed, content).observation or {}, fetch)


def read_step(content: Mapping[str, Any], fetch: Callable[[str], bytes] | None) -> StepResult:
    """Return observation, reward, done and info of a step's reply."""
    stepped = read_model(Stepped, content)
    return with_screen(stepped.observation or {}, fetch), stepped.reward, stepped.done, stepped.info
