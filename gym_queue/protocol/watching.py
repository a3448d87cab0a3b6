"""What can be asked about a live environment by those who only look at it, and the replies."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from gym_queue import errors
from gym_queue.protocol.calls import Schema, env_call
from gym_queue.protocol.sessions import Message

MIN_WIDTH_PX, DEFAULT_WIDTH_PX, MAX_WIDTH_PX = 16, 1280, 3840
MAX_EVENTS = 2000
MAX_NUMBER = 2**53
"""What JavaScript counts exactly."""


class CallView(Message):
    """A call that an environment answered."""

    n: int = Field(ge=1)
    """Counts its calls."""
    call: str
    at: float
    """When it began, in unix seconds."""
    duration_ms: float = Field(ge=0)
    ok: bool
    error_code: str | None
    request_id: str | None
    step: int | None
    """Its index in the episode, of a step that was answered."""


class CallsReply(Message):
    """Of calls."""

    as_of: float
    calls: list[CallView]
    """The last 500, oldest first."""
    next: int = Field(ge=0)
    """What ``after`` is to be, for those that follow."""


class TrajectoryItem(Message):
    """An event as it was logged, but for one that is too long or cannot be read: that has ``cut_bytes``, its size."""

    model_config = ConfigDict(frozen=True, extra="allow")


class TrajectoryReply(Message):
    """Of trajectory."""

    as_of: float
    episode: str | None
    """The folder's name; None before the first reset. Another one than before: start over."""
    events: list[TrajectoryItem]
    next: int = Field(ge=0)
    """What ``after`` is to be, for those that follow."""
    state: str
    """new, running, done or closed."""


class ArtifactView(Message):
    """A file of an episode."""

    path: str
    """Relative to the episode's folder; ``fetch_path`` takes it."""
    size_bytes: int = Field(ge=0)
    modified: float | None
    """Unix seconds; None of a frame that is no file until it is fetched."""


class ArtifactsReply(Message):
    """Of artifacts."""

    as_of: float
    episode: str | None
    files: list[ArtifactView]
    cut: bool
    """Whether there are more files than are listed."""


def _number(name: str, what: str, *, most: int, least: int = 0, default: int = 0) -> Schema:
    schema = {"type": "integer", "minimum": least, "maximum": most, "default": default}
    return {"name": name, "in": "query", "description": what, "schema": schema, "example": default}


AFTER = _number("after", "Of the last one that is known.", most=MAX_NUMBER)
WIDTH = _number(
    "width",
    "Of the picture in pixels; a narrower screen stays as it is.",
    least=MIN_WIDTH_PX,
    most=MAX_WIDTH_PX,
    default=DEFAULT_WIDTH_PX,
)
LIMIT = _number("limit", "Events at most.", least=1, most=MAX_EVENTS, default=500)
FORMAT: Schema = {
    "name": "format",
    "in": "query",
    "description": "Of the picture.",
    "schema": {"type": "string", "enum": ["jpeg", "png"], "default": "jpeg"},
    "example": "jpeg",
}
FRAMES: Schema = {
    "name": "frames",
    "in": "query",
    "description": "1 lists the steps' frames as well.",
    "schema": {"type": "string", "enum": ["0", "1"], "default": "0"},
    "example": "0",
}
KNOWN: Schema = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETags of what the caller has.",
    "schema": {"type": "string"},
    "example": '"ab12cd34-7-1280-jpeg"',
}
_TEXT: Schema = {"schema": {"type": "string"}}
_HEADERS: Schema = {
    "ETag": {"required": True, "schema": {"type": "string"}},
    "X-Frame-At": {
        "required": True,
        "description": "The moment it shows, in unix seconds.",
        "schema": {"type": "string"},
    },
    "X-Screen-Size": {"description": "Of the whole screen, as 1280x720.", "schema": {"type": "string"}},
}
_PICTURE: Schema = {
    "description": "The screen now; of a terminal without a picture its text",
    "headers": _HEADERS,
    "content": {
        "image/jpeg": {"schema": {"type": "string", "format": "binary"}},
        "image/png": {"schema": {"type": "string", "format": "binary"}},
        "text/plain": {"schema": {"type": "string"}},
    },
}
_SAME: Schema = {"description": "The caller has it", "headers": _HEADERS}
_ERRORS = (errors.QuotaExceeded,)
_EVENT: dict[str, Any] = {"event": "step", "ts": 1767225600.0, "idx": 0, "action": []}

WATCH_CALLS = (
    env_call(
        "screen",
        "The screen as it is now, beside what agents do: without a step, and while one runs.",
        method="GET",
        parameters=(WIDTH, FORMAT, KNOWN),
        others={"200": _PICTURE, "304": _SAME},
        errors=(*_ERRORS, errors.NotSupported),
    ),
    env_call(
        "calls",
        "The latest calls that the environment answered.",
        method="GET",
        parameters=(AFTER,),
        reply=CallsReply,
        reply_example={
            "as_of": 1767225601.0,
            "calls": [
                {
                    "n": 1,
                    "call": "reset",
                    "at": 1767225600.0,
                    "duration_ms": 812.5,
                    "ok": True,
                    "error_code": None,
                    "request_id": "r-1",
                    "step": None,
                }
            ],
            "next": 1,
        },
    ),
    env_call(
        "trajectory",
        "The running episode's events.",
        method="GET",
        parameters=(AFTER, LIMIT),
        reply=TrajectoryReply,
        reply_example={
            "as_of": 1767225601.0,
            "episode": "episode_001",
            "events": [_EVENT],
            "next": 1,
            "state": "running",
        },
        errors=_ERRORS,
    ),
    env_call(
        "artifacts",
        "The running episode's files.",
        method="GET",
        parameters=(FRAMES,),
        reply=ArtifactsReply,
        reply_example={
            "as_of": 1767225601.0,
            "episode": "episode_001",
            "files": [{"path": "traj.jsonl", "size_bytes": 512, "modified": 1767225600.0}],
            "cut": False,
        },
        errors=_ERRORS,
    ),
)
"""What a worker answers beside the agents' calls, and a master forwards."""
