"""What a worker answers, for its OpenAPI document; the models of its own replies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from gym_queue import errors
from gym_queue.protocol.calls import CREATE, ENV_CALLS, ENV_ID, SHOW, Call
from gym_queue.protocol.episodes import WORKER_EPISODE_CALLS
from gym_queue.protocol.logs import ENV_LOGS
from gym_queue.protocol.sessions import Message
from gym_queue.protocol.watching import WATCH_CALLS


class WorkerHealth(Message):
    """Of ``GET /health``."""

    status: Literal["healthy", "draining"]
    role: Literal["worker"]
    worker_id: str
    active_environments: int = Field(ge=0)
    max_environments: int = Field(ge=0)
    timeout_seconds: float
    master_url: str | None
    master_status: str
    monitoring_enabled: bool


class LiveView(Message):
    """A live environment."""

    last_activity: float
    """Unix seconds."""
    created_at: float
    idle_seconds: float
    metadata: dict[str, Any]
    env_dir: str | None
    task_id: str | None


class LiveList(Message):
    """Of ``GET /envs/list``."""

    environments: dict[str, LiveView]


HEALTH = Call(
    method="GET",
    path="/health",
    summary="Whether the worker serves.",
    reply=WorkerHealth,
    reply_example={
        "status": "healthy",
        "role": "worker",
        "worker_id": "worker-1",
        "active_environments": 1,
        "max_environments": 4,
        "timeout_seconds": 3600.0,
        "master_url": "http://10.0.0.1:5800",
        "master_status": "registered",
        "monitoring_enabled": True,
    },
    is_open=True,
)
LIST = Call(
    method="GET",
    path="/envs/list",
    summary="The live environments.",
    reply=LiveList,
    reply_example={
        "environments": {
            ENV_ID: {
                "last_activity": 1767225600.0,
                "created_at": 1767225540.0,
                "idle_seconds": 3.5,
                "metadata": {},
                "env_dir": "terminal_env",
                "task_id": "largest_file",
            }
        }
    },
)
READ_ERRORS = (errors.TooLarge, errors.RequestTimeout, errors.TooManyConnections)
"""Of every call, before it is known which."""
WORKER_CALLS = (
    replace(HEALTH, errors=READ_ERRORS),
    *(
        replace(call, errors=(*call.errors, errors.Unauthorized, *READ_ERRORS))
        for call in (LIST, CREATE, SHOW, *ENV_CALLS, *WATCH_CALLS, ENV_LOGS, *WORKER_EPISODE_CALLS)
    ),
)
"""Everything a worker answers."""
