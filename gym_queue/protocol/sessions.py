"""Requests and replies about environments (``/envs/..``)."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    StrictBool,
    field_validator,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic_core import CoreSchema

from gym_queue.protocol.actions import Action
from gym_queue.protocol.numbers import Whole

ENV_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"
RESET_POLICIES = ("core", "baseline_setup")
MAX_ACTIONS = 1000
"""Actions in one step."""


class Message(BaseModel):
    """Base of every model of the wire: frozen, unknown fields ignored on the way in."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Request(Message):
    """Base of what a master keeps and shows: every text can be written as UTF-8, every number as JSON."""

    @field_validator("*", mode="before", check_fields=False)
    @classmethod
    def _can_be_json(cls, raw: object) -> object:
        todo = [raw]
        while todo:
            value = todo.pop()
            if isinstance(value, str):
                _check_text(value)
            elif isinstance(value, dict):
                todo += (*value, *value.values())
            elif isinstance(value, list):
                todo += value
            elif isinstance(value, float) and not math.isfinite(value):
                raise ValueError("a number is not finite: JSON has no NaN and no Infinity")
        return raw


def _check_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair, which is no character") from None


def _source(*names: str) -> JsonDict:
    """Return the JSON Schema of a create that names its environment by these fields and no others."""
    fields: JsonDict = {name: {"type": "null"} for name in ("env_dir", "env_spec", "env_name")}
    fields |= {name: {"not": {"type": "null"}} for name in names}
    return {"required": list(names), "properties": fields}


_NAMES_ONE_SOURCE: JsonDict = {
    "oneOf": [_source("env_dir"), _source("env_spec"), _source("env_name", "benchmark")]
}
_NULL_IS_EMPTY: JsonDict = {"type": ["object", "null"]}


class CreateRequest(Request):
    """``POST /envs/create``: by folder, by specs, or by benchmark and name."""

    model_config = ConfigDict(json_schema_extra=_NAMES_ONE_SOURCE)

    env_id: str | None = Field(
        None, pattern=ENV_ID_PATTERN, json_schema_extra={"not": {"enum": ["create", "list"]}}
    )
    """Chosen by the client, so that the call can be repeated; made by the server when absent."""
    env_dir: str | None = None
    """A folder on the worker, or the name of an environment that ships."""
    task_id: str | None = None
    """A task of that folder."""
    env_spec: dict[str, JsonValue] | None = None
    """The environment itself, in the place of a folder."""
    task_spec: dict[str, JsonValue] | None = None
    """The task itself, in the place of ``task_id``."""
    benchmark: str | None = None
    """Name of a corpus; goes with ``env_name``."""
    env_name: str | None = None
    """An environment of that corpus."""
    task_digest: str | None = None
    """What the task's files must hash to, else the create is refused."""
    runner: str | None = None
    """Runner to take, over what the spec names."""
    verifier_env: dict[str, str] = Field(
        default_factory=dict,
        repr=False,
        json_schema_extra={
            **_NULL_IS_EMPTY,
            "propertyNames": {"pattern": r"^[^=\x00]+$"},
            "additionalProperties": {"type": "string", "pattern": r"^[^\x00]*$"},
        },
    )
    """Variables for this environment's verifier alone."""
    metadata: dict[str, JsonValue] = Field(default_factory=dict, json_schema_extra=_NULL_IS_EMPTY)
    """Kept and shown with the environment."""
    fast_io: StrictBool = False
    """Taken for clients that send it; every environment is as fast as it can be."""
    queue_timeout_s: float | None = Field(None, ge=0, le=86_400, strict=True)
    """How long the create may wait for a free slot; None takes the master's default."""
    priority: Annotated[int, Whole(0, 9)] = 0
    """9 is served first."""
    lease_s: float | None = Field(None, ge=0.05, strict=True)
    """The environment is closed when its client is not heard of for so long."""
    idle_timeout_s: float | None = Field(None, gt=0, strict=True)
    """The environment is closed when no call reached it for so long."""

    @field_validator("verifier_env", "metadata", mode="before")
    @classmethod
    def _null_is_empty(cls, value: object) -> object:
        return {} if value is None else value

    @field_validator("env_id")
    @classmethod
    def _is_no_call(cls, value: str | None) -> str | None:
        if value in ("create", "list"):
            raise ValueError(f"{value} is the name of a call: choose another id")
        return value

    @field_validator("verifier_env")
    @classmethod
    def _can_be_variables(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not name or "=" in name or "\0" in name + text:
                raise ValueError(
                    f"{name[:100]!r} cannot be an environment variable: no '=' or NUL in its name, no NUL in its value"
                )
        return value

    @model_validator(mode="after")
    def _names_one_source(self) -> CreateRequest:
        sources = [self.env_dir is not None, self.env_spec is not None, self.env_name is not None]
        if sum(sources) != 1:
            raise ValueError("give exactly one of env_dir, env_spec, or benchmark with env_name")
        if self.env_name is not None and self.benchmark is None:
            raise ValueError("env_name goes with benchmark")
        return self


class CreateReply(Message):
    """201 of ``POST /envs/create``."""

    env_id: str = Field(pattern=ENV_ID_PATTERN)
    worker_id: str | None = None
    worker_url: str | None = None
    env_token: str | None = Field(None, repr=False)
    """Opens this environment alone, on its worker."""
    queued_s: float = 0.0
    open_s: float | None = None
    """What the worker itself needed, in seconds."""


class Opened(Message):
    """What the Celery task ``gym_queue.create_env`` returns."""

    env_id: str = Field(pattern=ENV_ID_PATTERN)
    worker_id: str
    worker_url: str
    env_token: str | None = Field(None, repr=False)
    open_s: float = 0.0
    """How long the worker itself took."""


class ResetRequest(Message):
    """``POST /envs/{id}/reset``."""

    seed: Annotated[int, Whole(-(2**63), 2**64 - 1)] | None = None
    """Given to hooks as ``GYM_SEED``."""
    use_cache: StrictBool = False
    """Start from a checkpoint where there is one, and keep one."""
    cache_level: Literal["pre_start", "post_start", "post_task", "default"] = "pre_start"
    """After which hooks the sandbox is kept; default is what the spec says."""
    use_savevm: StrictBool = False
    """Start from, and keep, a machine that runs, memory and all: a checkpoint with or without ``use_cache``; refused by runners of files."""
    post_reset_policy: Literal["core", "baseline_setup"] | None = None
    """None takes the worker's default."""


class ShownAsAction:
    """Describes as an Action what an episode parses as one, each by itself, to say which of them is wrong."""

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return handler(Action.__pydantic_core_schema__)


class StepRequest(Message):
    """``POST /envs/{id}/step``."""

    actions: list[Annotated[dict[str, Any], ShownAsAction()]] = Field(
        default_factory=list, max_length=MAX_ACTIONS
    )
    """What the agent does, one after the other."""
    wait_between_actions: float = Field(0.2, ge=0, le=600, strict=True)
    """Seconds between two actions of this step."""
    mark_done: StrictBool = False
    """End the episode and have it judged."""
    capture_observation: StrictBool = True
    """Observe after the actions."""
    settle_after_actions: StrictBool = True
    """Wait until the screen is still before that."""
    trajectory_metadata: dict[str, Any] | None = None
    """Written into the step's event of the trajectory."""


class TrajectoryEvent(Message):
    """``POST /envs/{id}/trajectory_event``."""

    event: dict[str, Any]


class EpisodeLimits(Message):
    """``POST /envs/{id}/episode_limits``; None leaves a limit as it is."""

    max_steps: Annotated[int, Whole(1, 1_000_000)] | None = None
    timeout_sec: float | None = Field(None, gt=0, le=604_800, strict=True)


class SaveState(Message):
    """Body of ``POST /envs/{id}/save_state``."""

    host_snapshot_path: str | None = Field(None, max_length=4096)
    """Where the worker writes the file that names the state; null is in the episode's folder."""


class LoadState(Message):
    """Body of ``POST /envs/{id}/load_state``."""

    host_snapshot_path: str = Field(max_length=4096)
    """What save_state returned."""


class CopyToEnv(Message):
    """``POST /envs/{id}/copy_to_env``: paths on the worker and inside."""

    host_src: str
    container_dst: str


class CopyFromEnv(Message):
    """``POST /envs/{id}/copy_from_env``: paths inside and on the worker."""

    container_src: str
    host_dst: str


class SessionInfo(Message):
    """What is running behind an environment."""

    model_config = ConfigDict(frozen=True, extra="allow")

    env_id: str
    task_id: str | None = None
    runner_name: str
    platform_family: str = "unknown"
    """linux, windows, android or unknown."""
    artifacts_dir: str | None = None
    """The episode folder, on the worker."""
    resolution: tuple[int, int] | None = None
    """width, height in pixels."""
    fps: float | None = None
    network_enabled: bool | None = None
    systemd_enabled: bool | None = None
    container_name: str | None = None
    instance_name: str | None = None
    vnc_port: int | None = None
    """None: no runner of this version opens a port for viewers."""
    vnc_url: str | None = None
    """Where viewers connect by a WebSocket, below the URL of the master, or of the worker; None when they cannot."""
    vnc_password: str | None = Field(None, repr=False)
    """What viewers are asked for besides."""
    ssh_port: int | None = None
    ssh_user: str | None = None
    ssh_password: str | None = Field(None, repr=False)
    recording: str | None = None
    """The episode's video, a file of the episode folder; None when it has none, and ``notes`` says why."""
    notes: tuple[str, ...] = ()
    """What the spec asks for and the environment has not, and why: a sentence each."""
