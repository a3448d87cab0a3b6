"""What was logged about an environment: the calls that tell, and their replies."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from gym_queue import errors
from gym_queue.protocol.calls import ENV_ID, Call, Schema
from gym_queue.protocol.sessions import Message

MAX_LINES = 2000
DEFAULT_LINES = 500


class LogLine(Message):
    """A line; the ids that were around it stand beside."""

    model_config = ConfigDict(frozen=True, extra="allow")

    at: float
    """Unix seconds, by the clock of its host."""
    level: str
    logger: str
    text: str
    source: Literal["master", "worker", "env"]
    """Who wrote it: the master, the worker, or the environment's own process there."""
    request_id: str | None = None
    env_id: str | None = None
    worker_id: str | None = None
    exception: str | None = None
    """A traceback."""


class LogsReply(Message):
    """The latest lines about an environment, oldest first."""

    as_of: float
    lines: list[LogLine]
    worker_id: str | None = None
    """Where it is, or was."""
    note: str | None = None
    """What keeps other lines from being here, in a sentence."""


LIMIT: Schema = {
    "name": "limit",
    "in": "query",
    "description": "Lines at most, the latest.",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LINES, "default": DEFAULT_LINES},
}
EXAMPLE = {
    "as_of": 1767225600.0,
    "lines": [
        {
            "at": 1767225590.5,
            "level": "INFO",
            "logger": "gym_queue.worker.host",
            "text": "opened terminal_env (local)",
            "env_id": ENV_ID,
            "request_id": "r-1",
            "source": "worker",
        }
    ],
    "worker_id": "worker-1",
}
ENV_LOGS = Call(
    method="GET",
    path="/envs/{env_id}/logs",
    summary="What its worker and its own process logged about an environment; for a while after its end too.",
    reply=LogsReply,
    reply_example=EXAMPLE,
    parameters=(LIMIT,),
    errors=(errors.EnvNotFound, errors.EnvLost, errors.RequestInvalid),
)
MASTER_LOGS = Call(
    method="GET",
    path="/api/logs/{env_id}",
    summary="What the master logged about an environment, and of one that has ended its last worker's lines.",
    reply=LogsReply,
    reply_example={**EXAMPLE, "lines": []},
    parameters=(LIMIT,),
    errors=(errors.EnvNotFound, errors.RequestInvalid),
)
