"""What the dashboard's pages are answered with, as the schema shows it; the replies themselves are plain dicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, RootModel

from gym_queue.master.taskcalls import NodeTasks
from gym_queue.protocol.fleet import Resources, WorkerStatus
from gym_queue.protocol.sessions import Message


class MasterFacts(Message):
    """The master that answers."""

    version: str
    started_at: float
    """Unix seconds."""
    as_of: float


class Me(Message):
    """Of ``GET /api/me``."""

    role: Literal["cluster", "worker", "client", "metrics"]
    name: str | None
    """A named client's."""
    may_act: bool
    """Whether calls that change something are open too."""
    master: MasterFacts


class MasterRef(Message):
    """A master that can be looked at."""

    name: str
    url: str
    base: str
    """Before the paths of its calls."""


class Masters(RootModel[list[MasterRef]]):
    """Of ``GET /api/masters``."""


class BrokerHealth(Message):
    """The broker, as the master's own connection knows it."""

    ok: bool
    error: str | None
    kind: str


class WorkerCounts(Message):
    """Workers by status."""

    total: int
    healthy: int
    unhealthy: int
    draining: int
    dead: int


class Slots(Message):
    """Of the healthy workers."""

    total: int
    used: int
    """Taken or reserved."""


class EnvCounts(Message):
    """Environments by state."""

    queued: int
    creating: int
    ready: int
    closing: int


class QueueState(Message):
    """Creates that wait."""

    length: int
    oldest_s: float | None


class Rates(Message):
    """Of the last sample, of ten seconds."""

    creates_per_s: float
    steps_per_s: float
    resets_per_s: float
    errors_per_s: float
    """Calls and creates that failed."""


class Totals(Message):
    """Since the master's start."""

    created: int
    closed: int
    lost: int
    failed: int
    """Creates that ended in an error."""
    steps: int
    errors: int
    """Calls answered with a status of 500 or above, or that did not reach their worker."""


class Latency(Message):
    """Of the last ten minutes; upper bounds of the buckets that hold the percentiles."""

    count: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class Latencies(Message):
    """By what took so long."""

    create: Latency
    reset: Latency
    step: Latency


class Notice(Message):
    """Something that an operator must look at."""

    kind: str
    text: str
    link: str
    """The query of the page that shows it."""


class OverviewReply(Message):
    """Of ``GET /api/overview``."""

    as_of: float
    started_at: float
    version: str
    broker: BrokerHealth
    workers: WorkerCounts
    slots: Slots
    envs: EnvCounts
    queue: QueueState
    rates: Rates
    totals: Totals
    window_s: float
    """What the latencies are of."""
    latency: Latencies
    attention: list[Notice] = Field(max_length=20)


class HistoryReply(Message):
    """Of ``GET /api/history``."""

    as_of: float
    step_s: float
    series: dict[str, list[float | None]]
    """Columns of the last hour, oldest number first; None where nobody measured."""


class FleetColumns(Message):
    """Columns of the same length, by the workers' ids."""

    worker_id: list[str]
    status: list[str]
    used: list[int]
    slots: list[int]
    why: list[str]
    """Why it is not healthy; empty when it is."""


class FleetReply(Message):
    """Of ``GET /api/fleet``."""

    as_of: float
    total: int
    """Of workers; the columns have at most 2,000."""
    workers: FleetColumns


class ListReply(Message):
    """A page of a list."""

    as_of: float
    version: int
    """Grows when the list changes."""
    total: int
    matched: int
    offset: int


class WorkerRow(Message):
    """One worker."""

    worker_id: str
    hostname: str
    url: str
    status: WorkerStatus
    version: str
    runners: list[str]
    slots: int
    used: int
    starting: int
    cpu_percent: float | None
    memory_percent: float | None
    heartbeat_age_s: float
    registered_at: float
    draining: bool
    celery: NodeTasks
    requests: int
    """Calls that the master forwarded to it."""
    errors: int
    """Of these, those that did not get there."""
    resources: Resources
    why: str | None
    """Why it takes nothing."""


class WorkersReply(ListReply):
    """Of ``GET /api/workers``."""

    rows: list[WorkerRow]


class EnvRow(Message):
    """One environment, as far as the master knows it."""

    env_id: str
    state: Literal["queued", "creating", "ready", "closing"]
    worker_id: str | None
    since: float
    """When it entered this state, Unix seconds."""
    age_s: float
    env: str | None
    task_id: str | None
    runner: str | None
    owner: str | None
    metadata: dict[str, Any]


class EnvsReply(ListReply):
    """Of ``GET /api/envs``."""

    rows: list[EnvRow]


class QueueRow(Message):
    """One create that waits."""

    env_id: str
    position: int
    """0 is the next."""
    priority: int
    capability: str
    metadata: dict[str, Any]
    waiting_s: float
    waiting_since: float
    why_not: dict[str, str]
    """Worker → why it cannot have it; the first twenty."""
    why_not_total: int
    clients: int
    env: str | None
    task_id: str | None
    owner: str | None
    waiting_for: str


class QueueReply(ListReply):
    """Of ``GET /api/queue``."""

    rows: list[QueueRow]
