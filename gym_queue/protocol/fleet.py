"""What workers say to a master (``/workers/..``), and how the master shows them."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, GetJsonSchemaHandler, JsonValue, StrictBool, field_validator
from pydantic_core import CoreSchema

from gym_queue.protocol.numbers import Whole
from gym_queue.protocol.sessions import ENV_ID_PATTERN, Message, Request

WORKER_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"
MAX_RESOURCE = 1_000_000
"""Cores, GiB or GPUs: more than any machine has."""
METRICS_CHARS = 64 << 10
SECRET_HEADER = "X-Worker-Secret"  # noqa: S105  a header's name
"""Bears what the registration's reply gave, on all that this worker says from then on."""
EnvId = Annotated[str, Field(pattern=ENV_ID_PATTERN)]


class WorkerStatus(StrEnum):
    """A worker as the master sees it."""

    HEALTHY = "healthy"  # heartbeats arrive: takes creates
    UNHEALTHY = "unhealthy"  # heartbeats are late: keeps its environments, takes no creates
    DEAD = "dead"  # silent too long: its environments are lost
    DRAINING = "draining"  # told to finish: keeps its environments, takes no creates


class Resources(Message):
    """What a host has, or an environment needs."""

    cpu: float | None = Field(None, ge=0, le=MAX_RESOURCE, strict=True)
    """Cores."""
    mem_gb: float | None = Field(None, ge=0, le=MAX_RESOURCE, strict=True)
    gpu: Annotated[int, Whole(0, MAX_RESOURCE)] | None = None


class WorkerMetadata(Message):
    """The ``metadata`` of a registration."""

    model_config = ConfigDict(frozen=True, extra="allow")

    available_runners: list[str] | None = None
    """None, from workers that do not say, means any."""
    runner_details: dict[str, dict[str, str]] | None = None
    """What the worker saw of each runner at its start: versions, ``acceleration``, ``images``."""
    slurm_job_id: str | None = None
    slurm_array_task_id: str | None = None
    pid: Annotated[int, Whole(0, 2**63 - 1)] | None = None


class _ShownAsNullable:
    """Describes as null-able what a validator makes empty when it is null."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "null"}]}


class Registration(Request):
    """``POST /workers/register``."""

    worker_id: str = Field(pattern=WORKER_ID_PATTERN)
    """Its name: letters, digits, ``-`` and ``_``."""
    url: str = Field(pattern=r"^https?://[^\s/@?#]+/?$", max_length=300)
    """Where the master and clients reach it."""
    hostname: str = Field("", max_length=300)
    """Its host's name, for people."""
    port: Annotated[int, Whole(0, 65535)] | None = None
    """The port of its URL."""
    max_envs: Annotated[int, Whole(0, 10_000)] = 1
    """Environments at once."""
    max_starting: Annotated[int, Whole(1, 10_000)] | None = None
    """Environments that may be starting at once, apart from ``max_envs``; None means as many as there are slots."""
    metadata: Annotated[WorkerMetadata, _ShownAsNullable()] = Field(default_factory=WorkerMetadata)
    """``available_runners``, ``pid``, Slurm's ids."""
    queues: list[str] = Field(default_factory=list)
    """Celery queues it consumes; empty means it takes creates by HTTP."""
    resources: Resources = Field(default_factory=Resources)
    """What its host has: ``cpu``, ``mem_gb``, ``gpu``."""
    cached: list[str] = Field(default_factory=list)
    """Environments it has checkpoints or images of."""
    env_ids: list[EnvId] = Field(default_factory=list)
    """Environments that are open here, when it registers again: they fill slots before its next heartbeat."""
    version: str = ""
    """Of its program."""
    bears_secret: StrictBool = False
    """Whether it will bear the secret of the reply: what comes without it is then not from this worker."""

    @field_validator("metadata", mode="before")
    @classmethod
    def _null_is_empty(cls, value: object) -> object:
        return {} if value is None else value


class Registered(Message):
    """201 of ``POST /workers/register``."""

    status: str = "registered"
    worker_id: str
    master_time: float
    broker_url: str | None = Field(None, repr=False)
    heartbeat_s: float | None = None
    worker_secret: str | None = Field(None, repr=False)
    """Proves to this master who registered; for ``X-Worker-Secret``."""


class Heartbeat(Request):
    """``POST /workers/heartbeat``."""

    worker_id: str = Field(max_length=128)
    """Who says it."""
    env_count: Annotated[int, Whole(0, 1_000_000)] = 0
    """How many environments it has."""
    env_ids: list[EnvId] = Field(default_factory=list)
    """Those that are open or being opened."""
    opening: list[EnvId] = Field(default_factory=list)
    """Those of ``env_ids`` that are still being opened."""
    cpu_percent: float | None = Field(None, strict=True)
    """Processor time in use on its host."""
    memory_percent: float | None = Field(None, strict=True)
    """Memory in use on its host."""
    status: str = "healthy"
    """healthy or draining."""
    metrics: dict[str, JsonValue] | None = None
    """At most METRICS_CHARS as JSON: the master keeps and shows them."""
    sequence: Annotated[int, Whole(0, 2**63 - 1)] | None = None
    """Grows with each heartbeat of one registration, so that a late one is known as late."""
    pid: Annotated[int, Whole(0, 2**63 - 1)] | None = None
    """The ``pid`` of the registration, so that one of an earlier process under this id is known as such."""

    @field_validator("metrics")
    @classmethod
    def _is_short(cls, metrics: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if metrics and len(json.dumps(metrics)) > METRICS_CHARS:
            raise ValueError(f"has more than {METRICS_CHARS} characters as JSON: send fewer numbers")
        return metrics


class WorkerRef(Request):
    """``POST /workers/deregister``, ``drain`` and ``undrain``."""

    worker_id: str = Field(max_length=128)
    """Which worker."""
    reason: str | None = Field(None, max_length=300)
    """Why, for the log."""


class WorkerEntry(Message):
    """One worker in ``GET /workers/list``."""

    worker_id: str
    url: str
    hostname: str
    port: int | None
    max_envs: int
    registered_at: float
    last_heartbeat: float
    status: WorkerStatus
    env_count: int
    pending_count: int
    effective_count: int
    env_ids: list[str]
    error_count: int
    total_requests: int
    cpu_percent: float | None
    memory_percent: float | None
    load_percent: float
    uptime_sec: float
    last_heartbeat_ago_sec: float
    metadata: dict[str, Any]
    circuit_open: bool
    consecutive_failures: int
    version: str = ""
    queues: list[str] = Field(default_factory=list)
    metrics: dict[str, Any] | None = None
