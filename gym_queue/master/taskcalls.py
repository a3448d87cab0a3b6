"""The calls about Celery's tasks, and what they are answered with."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import FastAPI, Request
from pydantic import ConfigDict, Field

from gym_queue.errors import RequestInvalid, TaskNotFound
from gym_queue.master.creates import Creates
from gym_queue.master.routes import Routes
from gym_queue.protocol.calls import ENV_ID, Call, Schema
from gym_queue.protocol.sessions import Message
from gym_queue.stats.taskrecord import STATES, TaskRecord
from gym_queue.stats.tasks import TaskStats
from gym_queue.web.listing import LIST_PARAMETERS, filter_parameter, page, parse_query, sort_parameter

ID_CHARS = 128
SORTS = (
    *("task_id", "name", "state", "worker", "queue", "runner"),
    *("sent", "received", "started", "finished", "runtime_s", "retries"),
)
SEARCHED = ("task_id", "name", "state", "worker", "queue", "args", "kwargs", "result", "exception")
"""Where the words of ``q`` are looked for."""
FILTERS = ("state", "worker", "runner")
TASK_ID: Schema = {
    "name": "task_id",
    "in": "path",
    "required": True,
    "description": "Of a create: the environment's id.",
    "schema": {"type": "string", "minLength": 1, "maxLength": ID_CHARS},
    "example": ENV_ID,
}


class NodeTasks(Message):
    """A Celery node, and its tasks."""

    online: bool
    active: int = Field(ge=0)
    """Being carried out now."""
    processed: int = Field(ge=0)
    """By its own word, since its process started."""
    succeeded: int = Field(ge=0)
    failed: int = Field(ge=0)
    retried: int = Field(ge=0)
    revoked: int = Field(ge=0)
    rejected: int = Field(ge=0)
    load: list[float] | None = Field(min_length=3, max_length=3)
    """Load averages of 1, 5 and 15 min."""
    last_event_at: float | None
    """Unix seconds, by the master's clock."""
    pid: int | None
    software: str | None


class TaskFacts(Message):
    """What is known of one task; times are Unix seconds, by the clock of who says so."""

    task_id: str
    env_id: str
    name: str
    state: str
    """Celery's, or LOST: its node went away, or does not carry it out, without a word about its end."""
    worker: str
    queue: str
    runner: str
    sent: float | None
    received: float | None
    started: float | None
    finished: float | None
    runtime_s: float | None
    retries: int
    args: str
    result: str
    exception: str


class Tasks(Message):
    """Of ``GET /api/tasks``: a page of tasks, and what there is of all of them."""

    counts: dict[str, int]
    """Events by the state that they tell."""
    workers: dict[str, NodeTasks]
    """By the Celery node's name."""
    latest: list[TaskFacts]
    """Whatever was asked for; the last one that was heard of first, ``worker`` being the node's name."""
    as_of: float
    version: int
    total: int
    matched: int
    offset: int
    rows: list[TaskFacts]
    """Texts have at most 200 characters; ``args`` are the named ones where there are no others."""


class Task(TaskFacts):
    """Of ``GET /api/tasks/{task_id}``: texts have at most 64 KB."""

    model_config = ConfigDict(extra="forbid")

    kwargs: str
    traceback: str
    cut: list[str]
    """The texts that were longer."""


class Revoked(Message):
    """Of ``POST /api/tasks/{task_id}/revoke``."""

    status: Literal["revoked", "not_running"]
    env_id: str


TASK_EXAMPLE: dict[str, object] = {
    "task_id": ENV_ID,
    "env_id": ENV_ID,
    "name": "gym_queue.create_env",
    "state": "SUCCESS",
    "worker": "worker-1",
    "queue": "env.local.worker-1",
    "runner": "local",
    "sent": 1767225600.0,
    "received": 1767225600.1,
    "started": 1767225600.2,
    "finished": 1767225601.2,
    "runtime_s": 1.0,
    "retries": 0,
    "args": '{"env_dir": "terminal_env"}',
    "result": "Opened(..)",
    "exception": "",
}
TASK_CALLS = (
    Call(
        method="GET",
        path="/api/tasks",
        summary="Celery's tasks: counts by state and worker, the latest, and a page of them all.",
        reply=Tasks,
        reply_example={
            "counts": {"SUCCESS": 1},
            "workers": {},
            "latest": [],
            "as_of": 1767225602.0,
            "version": 4,
            "total": 1,
            "matched": 1,
            "offset": 0,
            "rows": [TASK_EXAMPLE],
        },
        parameters=(
            *LIST_PARAMETERS,
            sort_parameter(SORTS),
            filter_parameter("state", "Tasks in this state alone.", choices=STATES),
            filter_parameter("worker", "Tasks of the worker with this id alone."),
            filter_parameter("runner", "Tasks for this runner alone."),
        ),
        errors=(RequestInvalid,),
    ),
    Call(
        method="GET",
        path="/api/tasks/{task_id}",
        summary="All that is kept of one of Celery's tasks.",
        reply=Task,
        reply_example={**TASK_EXAMPLE, "args": "()", "kwargs": "{}", "traceback": "", "cut": []},
        parameters=(TASK_ID,),
        errors=(TaskNotFound,),
    ),
    Call(
        method="POST",
        path="/api/tasks/{task_id}/revoke",
        summary="Give up a create that is not answered yet; what a worker opens for it is closed.",
        reply=Revoked,
        reply_example={"status": "revoked", "env_id": ENV_ID},
        parameters=(TASK_ID,),
        errors=(TaskNotFound,),
    ),
)


def add_task_calls(app: FastAPI, tasks: TaskStats, creates: Creates, routes: Routes) -> None:
    """Add the calls about tasks to the master's app.

    Args:
        app: Answers them.
        tasks: What Celery's events tell.
        creates: Gives up a create.
        routes: Knows environments that are there, and were.
    """

    @app.get("/api/tasks")
    async def list_tasks(http: Request) -> dict[str, Any]:
        """Celery's tasks: counts by state and worker, the latest, and a page of them all."""
        query = parse_query(
            http.query_params.multi_items(), sorts=SORTS, filters=FILTERS, choices={"state": STATES}
        )
        summary, version, rows = tasks.summary(), tasks.version, tasks.all()
        found = (
            await asyncio.to_thread(  # to look through ten thousand tasks' texts takes a third of a second
                page, rows, query, fields=SEARCHED, version=version, show=TaskRecord.row
            )
        )
        return {**summary, **found}

    @app.get("/api/tasks/{task_id}")
    async def show(task_id: str) -> dict[str, Any]:
        """All that is kept of one of Celery's tasks."""
        task = tasks.find(task_id)
        if task is None:
            raise _unknown(task_id)
        return task.detail()

    @app.post("/api/tasks/{task_id}/revoke")
    async def revoke(task_id: str) -> dict[str, str]:
        """Give up a create that is not answered yet; what a worker opens for it is closed.

        Celery's own revoke is not sent: workers keep it by the task's id for hours, and would refuse the next create
        of the same environment.
        """
        if creates.cancel(task_id):
            return {"status": "revoked", "env_id": task_id}
        if tasks.find(task_id) or routes.find(task_id) or routes.ended(task_id):
            return {"status": "not_running", "env_id": task_id}
        raise _unknown(task_id)


def _unknown(task_id: str) -> TaskNotFound:
    return TaskNotFound(
        f"no task {task_id[:ID_CHARS]} is known: GET /api/tasks shows those that are, the oldest of which leave"
    )
