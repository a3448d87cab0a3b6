"""What can be asked of environments, of a master and straight of a worker alike: with what, and with what answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from gym_queue import errors
from gym_queue.errors import GymQueueError
from gym_queue.protocol import replies, sessions

Schema = Mapping[str, Any]
"""A JSON Schema, or a part of an OpenAPI document."""

ENV_ID = "0f8fad5b-d9cb-469f-a165-70867728950e"
KEY: Schema = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Names this call: the same key gets the first call's reply again.",
    "schema": {"type": "string", "pattern": r"^[!-~]{1,128}$"},
    "example": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
}
PATH_CHARS = 4096
"""Longest path of a file that is asked for."""
PATH: Schema = {
    "name": "path",
    "in": "query",
    "required": True,
    "description": "Of a file, relative to the episode folder or absolute below it.",
    "schema": {"type": "string", "maxLength": PATH_CHARS},
    "example": "frame_00000.png",
}
INSIDE_PATH: Schema = {
    **PATH,
    "description": "Of a file of the sandbox, relative to its home folder or absolute.",
    "example": "notes.txt",
}
BODY_ERRORS = (errors.RequestMalformed, errors.RequestInvalid, errors.TooLarge)
EPISODE_ERRORS = (
    *(errors.EnvNotFound, errors.EnvLost, errors.EnvState, errors.Conflict),
    *(errors.EnvTimeout, errors.RunnerFailed, errors.RequestInvalid),
)
"""Of every call that reaches into an environment."""
OPEN_ERRORS = (
    *BODY_ERRORS,
    *(errors.SpecInvalid, errors.SpecNotFound, errors.NotSupported, errors.Forbidden),
    *(errors.Conflict, errors.Cancelled, errors.EnvLost, errors.EnvTimeout),
    *(errors.RunnerFailed, errors.RunnerUnavailable, errors.NoCapacity),
)
"""Of create."""
SCORE_ERRORS = (
    errors.EnvBusy,
    errors.ActionInvalid,
    errors.NotSupported,
    errors.HookFailed,
    errors.VerifierFailed,
)
FILE_ERRORS = (errors.PathNotFound, errors.Forbidden)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call, as the OpenAPI document describes it."""

    method: str
    path: str
    summary: str
    reply: type[BaseModel] | None = None
    """None for one that never succeeds, and for files and pages."""
    reply_example: Any = None
    status: int = 200
    body: type[BaseModel] | None = None
    body_required: bool = True
    body_example: Any = None
    is_upload: bool = False
    """Whether its body is a file's bytes."""
    parameters: tuple[Schema, ...] = ()
    errors: tuple[type[GymQueueError], ...] = ()
    others: Mapping[str, Schema] = field(default_factory=dict)
    """Further successes: status → response."""
    is_packable: bool = False
    """Whether the reply can be asked for as MessagePack."""
    is_open: bool = False
    """Whether it needs no token."""

    @property
    def name(self) -> str:
        """Its operationId: the last words of its path."""
        words = [word for word in self.path.split("/") if word and "{" not in word]
        return "_".join([self.method.lower(), *words])


def env_call(name: str, summary: str, *, method: str = "POST", **fields: Any) -> Call:
    """Return a call of one environment, which can fail as all of these do."""
    fields["errors"] = (*EPISODE_ERRORS, *fields.get("errors", ()))
    if fields.get("body") is not None:
        fields["errors"] += BODY_ERRORS
    return Call(method=method, path=f"/envs/{{env_id}}/{name}", summary=summary, **fields)


SCREEN = {"screen": {"path": "/srv/envs/e1/ep/frame_00001.png", "resolution": [1280, 720], "remote": True}}
FILE: Schema = {
    "description": "The file's bytes",
    "headers": {
        "Content-Disposition": {"required": True, "schema": {"type": "string"}},
        "Accept-Ranges": {"required": True, "schema": {"type": "string", "const": "bytes"}},
    },
    "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
}
PART: Schema = {**FILE, "description": "The range of its bytes that the Range header names"}

CREATE = Call(
    method="POST",
    path="/envs/create",
    summary="Create an environment.",
    status=201,
    body=sessions.CreateRequest,
    body_example={"env_id": ENV_ID, "env_dir": "terminal_env", "task_id": "largest_file"},
    reply=sessions.CreateReply,
    reply_example={
        "env_id": ENV_ID,
        "worker_id": "worker-1",
        "worker_url": "http://10.0.0.7:5900",
        "env_token": "Zm9v",
        "queued_s": 0.0,
    },
    parameters=(KEY,),
    errors=OPEN_ERRORS,
)
SHOW = Call(
    method="GET",
    path="/envs/{env_id}",
    summary="Where one environment is in its life.",
    reply=replies.EnvView,
    reply_example={"env_id": ENV_ID, "state": "ready", "worker_id": "worker-1", "age_s": 12.5},
    errors=(errors.EnvNotFound, errors.EnvLost),
)
RESET = env_call(
    "reset",
    "Start an episode.",
    body=sessions.ResetRequest,
    body_required=False,
    body_example={"seed": 7},
    reply=replies.ResetReply,
    reply_example={
        "observation": SCREEN,
        "_timings": {"start": 0.8, "total": 1.1},
        "_request_id": "r-1",
        "_post_reset_policy": "core",
    },
    parameters=(KEY,),
    errors=(
        errors.EnvBusy,
        errors.HookFailed,
        errors.NotSupported,
        errors.SpecInvalid,
        errors.RunnerUnavailable,
    ),
    is_packable=True,
)
STEP = env_call(
    "step",
    "Inject actions, and observe.",
    body=sessions.StepRequest,
    body_example={"actions": [{"mouse": {"left_click": [640, 360]}}, {"keyboard": {"text": "hello"}}]},
    reply=replies.StepReply,
    reply_example={
        "observation": SCREEN,
        "reward": 0.0,
        "done": False,
        "info": {"step": 0, "action_result": {"action": "other"}},
    },
    parameters=(KEY,),
    errors=SCORE_ERRORS,
    is_packable=True,
)
EPISODE_CALLS = (
    RESET,
    STEP,
    env_call(
        "capture_observation",
        "Observe, without a step.",
        reply=replies.CaptureReply,
        reply_example={"observation": SCREEN},
        parameters=(KEY,),
        errors=(errors.TooLarge,),
        is_packable=True,
    ),
    env_call(
        "close",
        "End an environment; of one that has ended nothing is left to end.",
        reply=replies.ClosedReply,
        reply_example={"status": "closed"},
        parameters=(KEY,),
    ),
    env_call(
        "keepalive",
        "Renew the lease of the client.",
        reply=replies.KeepaliveReply,
        reply_example={"status": "renewed", "lease_s": 60.0},
    ),
    env_call(
        "trajectory_event",
        "Append an event to the trajectory.",
        body=sessions.TrajectoryEvent,
        body_example={"event": {"type": "thought", "text": "the button is grey"}},
        reply=replies.LoggedReply,
        reply_example={"status": "logged"},
    ),
    env_call(
        "episode_dir",
        "Where the episode's files are, on the worker.",
        method="GET",
        reply=replies.EpisodeDirReply,
        reply_example={"episode_dir": "/srv/envs/e1/ep"},
    ),
    env_call(
        "session_info",
        "What runs behind the environment.",
        method="GET",
        reply=replies.SessionReply,
        reply_example={"session": {"env_id": "terminal_env", "runner_name": "LocalRunner"}},
    ),
    env_call(
        "episode_limits",
        "Change the episode's limits.",
        body=sessions.EpisodeLimits,
        body_example={"max_steps": 50},
        reply=replies.LimitsReply,
        reply_example={"status": "updated", "max_steps": 50, "timeout_sec": 600.0},
    ),
    env_call(
        "pause_recording",
        "Leave what follows out of the episode's video.",
        reply=replies.PausedReply,
        reply_example={"status": "paused"},
        errors=(errors.NotSupported,),
    ),
    env_call(
        "resume_recording",
        "Go on with the episode's video.",
        reply=replies.ResumedReply,
        reply_example={"status": "resumed"},
        errors=(errors.NotSupported,),
    ),
)
FILE_CALLS = (
    env_call(
        "fetch_path",
        "A file of the episode folder, or one range of its bytes.",
        method="GET",
        parameters=(PATH,),
        others={"200": FILE, "206": PART},
        errors=FILE_ERRORS,
    ),
    env_call(
        "save_state",
        "Keep the sandbox's state, to load it later on the same host.",
        body=sessions.SaveState,
        body_required=False,
        body_example={"host_snapshot_path": "before.json"},
        reply=replies.SnapshotReply,
        reply_example={"snapshot_path": "/srv/envs/e1/ep/before.json"},
        errors=(*FILE_ERRORS, errors.NotSupported),
    ),
    env_call(
        "load_state",
        "Start a sandbox from a state that was saved, in place of the one that runs.",
        body=sessions.LoadState,
        body_example={"host_snapshot_path": "before.json"},
        reply=replies.LoadedReply,
        reply_example={"status": "loaded"},
        errors=(*FILE_ERRORS, errors.NotSupported),
    ),
    env_call(
        "copy_to_env",
        "Copy a file of the episode folder, or of an allowed one, into the sandbox.",
        body=sessions.CopyToEnv,
        body_example={"host_src": "notes.txt", "container_dst": "notes.txt"},
        reply=replies.CopiedReply,
        reply_example={"status": "copied"},
        errors=(*FILE_ERRORS, errors.NotSupported),
    ),
    env_call(
        "copy_from_env",
        "Copy a file of the sandbox into the episode folder, or into an allowed one.",
        body=sessions.CopyFromEnv,
        body_example={"container_src": "answer.txt", "host_dst": "answer.txt"},
        reply=replies.CopiedReply,
        reply_example={"status": "copied"},
        errors=(*FILE_ERRORS, errors.NotSupported),
    ),
)
TRANSFER_ERRORS = (*FILE_ERRORS, errors.NotSupported, errors.TooLarge)
TRANSFER_CALLS = (
    env_call(
        "files",
        "A file of the sandbox, or one range of its bytes.",
        method="GET",
        parameters=(INSIDE_PATH,),
        others={"200": FILE, "206": PART},
        errors=TRANSFER_ERRORS,
    ),
    env_call(
        "files",
        "Put a file into the sandbox, in the place of the one that is there; missing folders are made.",
        method="PUT",
        parameters=(INSIDE_PATH,),
        is_upload=True,
        reply=replies.UploadedReply,
        reply_example={"status": "copied", "size_bytes": 11},
        errors=TRANSFER_ERRORS,
    ),
)
TICKET: Schema = {
    "name": "ticket",
    "in": "query",
    "description": "Of vnc_ticket, in the place of a token.",
    "schema": {"type": "string"},
}
VIEW_ONLY: Schema = {
    "name": "view_only",
    "in": "query",
    "description": "0 to act as well as to look, where the spec's vnc.view_only is false.",
    "schema": {"type": "string", "enum": ["0", "1", "false", "true"], "default": "1"},
}
WEBSOCKET: Schema = {
    "description": "A WebSocket follows, of binary messages: the bytes of RFB (RFC 6143), cut anywhere.",
    "headers": {"Upgrade": {"required": True, "schema": {"type": "string", "const": "websocket"}}},
}
VIEWER_CALLS = (
    env_call(
        "vnc_ticket",
        "A ticket for one viewer, for browsers: they send no header with a WebSocket.",
        reply=replies.TicketReply,
        reply_example={"ticket": "7Zl0cTB0aWNrZXQ", "expires_s": 30.0},
    ),
    env_call(
        "vnc",
        "Watch the screen, by a WebSocket.",
        method="GET",
        parameters=(TICKET, VIEW_ONLY),
        others={"101": WEBSOCKET},
        errors=(errors.UpgradeRequired, errors.NotSupported, errors.Forbidden),
    ),
)
ENV_CALLS = (*EPISODE_CALLS, *FILE_CALLS, *TRANSFER_CALLS, *VIEWER_CALLS)
"""What a master forwards to the worker."""
