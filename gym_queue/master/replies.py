"""What the master's own calls are answered with, as its schema shows it; the replies themselves are plain dicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from gym_queue.protocol import fleet as wire
from gym_queue.protocol.sessions import Message


class MasterHealth(Message):
    """Of ``GET /health``."""

    status: Literal["healthy"]
    role: Literal["master"]
    uptime_sec: float
    total_workers: int = Field(ge=0)
    healthy_workers: int = Field(ge=0)
    unhealthy_workers: int = Field(ge=0)
    dead_workers: int = Field(ge=0)
    total_envs: int = Field(ge=0)
    total_capacity: int = Field(ge=0)


class Beat(Message):
    """Of a heartbeat."""

    status: Literal["ok"]
    master_time: float


class Deregistered(Message):
    """Of a worker that left."""

    status: Literal["deregistered"]


class Drained(Message):
    """Of drain and undrain."""

    status: Literal["draining", "healthy"]
    worker_id: str
    env_count: int = Field(ge=0)
    message: str


class Aggregated(Message):
    """Counts over the whole fleet."""

    total_requests: int
    total_errors: int
    error_rate: float = Field(ge=0, le=1)
    total_envs_created: int
    total_envs_closed: int
    endpoint_stats: dict[str, Any]
    activity_log: list[Any]
    active_envs: dict[str, Any]
    timeline: list[Any]


class HostView(Message):
    """The workers of one machine."""

    hostname: str
    workers: int
    envs: int
    capacity: int


class Cluster(Message):
    """The whole fleet."""

    total_workers: int
    healthy_workers: int
    unhealthy_workers: int
    dead_workers: int
    draining_workers: int
    total_envs: int
    total_capacity: int
    workers: list[wire.WorkerEntry]
    hostname_stats: list[HostView]
    env_mappings: dict[str, str]
    """Environment → worker."""
    queue_length: int
    aggregated: Aggregated


class MasterTimes(Message):
    """Of the master's process."""

    uptime_sec: float
    start_time: float
    """Unix seconds."""


class Metrics(Message):
    """Of ``GET /api/metrics``."""

    master: MasterTimes
    cluster: Cluster


class QueuedCreate(Message):
    """A create that waits for a slot."""

    model_config = ConfigDict(frozen=True, extra="allow")

    env_id: str
    position: int = Field(ge=0)
    """0 is the next."""
    priority: int
    metadata: dict[str, Any]
    waiting_s: float


class QueueView(Message):
    """Of ``GET /queue``."""

    waiting: list[QueuedCreate]
    total: int = Field(ge=0)


class Placed(Message):
    """Where an environment is."""

    worker_id: str
    worker_url: str
    worker_status: wire.WorkerStatus | None


class EnvList(Message):
    """Of ``GET /envs/list``."""

    environments: dict[str, Placed]
    total: int = Field(ge=0)
