"""What workers say to a master (``/workers/..``), and how the master shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import ConfigDict, Field, JsonValue, field_validator

from gym_queue.protocol.sessions import ENV_ID_PATTERN, Message, Request

WORKER_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$"
MAX_RESOURCE = 1_000_000
"""Cores, GiB or GPUs: more than any machine has."""
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

    cpu: float | None = Field(None, ge=0, le=MAX_RESOURCE)
    """Cores."""
    mem_gb: float | None = Field(None, ge=0, le=MAX_RESOURCE)
    gpu: int | None = Field(None, ge=0, le=MAX_RESOURCE)


class WorkerMetadata(Message):
    """The ``metadata`` of a registration."""

    model_config = ConfigDict(frozen=True, extra="allow")

    available_runners: list[str] | None = None
    """None, from workers that do not say, means any."""
    slurm_job_id: str | None = None
    slurm_array_task_id: str | None = None
    pid: int | None = None


class Registration(Request):
    """``POST /workers/register``."""

    worker_id: str = Field(pattern=WORKER_ID_PATTERN)
    url: str = Field(pattern=r"^https?://[^\s/@?#]+/?$", max_length=300)
    hostname: str = Field("", max_length=300)
    port: int | None = Field(None, ge=0, le=65535)
    max_envs: int = Field(1, ge=0, le=10_000)
    max_starting: int | None = Field(None, ge=1, le=10_000)
    """Environments that may be starting at once, apart from ``max_envs``; None means as many as there are slots."""
    metadata: WorkerMetadata = Field(default_factory=WorkerMetadata)
    queues: list[str] = Field(default_factory=list)
    """Celery queues it consumes; empty means it takes creates by HTTP."""
    resources: Resources = Field(default_factory=Resources)
    cached: list[str] = Field(default_factory=list)
    env_ids: list[EnvId] = Field(default_factory=list)
    """Environments that are open here, when it registers again: they fill slots before its next heartbeat."""
    version: str = ""
    bears_secret: bool = False
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
    env_count: int = Field(0, ge=0)
    env_ids: list[EnvId] = Field(default_factory=list)
    """Those that are open or being opened."""
    opening: list[EnvId] = Field(default_factory=list)
    """Those of ``env_ids`` that are still being opened."""
    cpu_percent: float | None = None
    memory_percent: float | None = None
    status: str = "healthy"
    metrics: dict[str, JsonValue] | None = None
    sequence: int | None = Field(None, ge=0)
    """Grows with each heartbeat of one registration, so that a late one is known as late."""
    pid: int | None = None
    """The ``pid`` of the registration, so that one of an earlier process under this id is known as such."""


class WorkerRef(Request):
    """``POST /workers/deregister``, ``drain`` and ``undrain``."""

    worker_id: str = Field(max_length=128)
    reason: str | None = Field(None, max_length=300)


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
