"""The call about the broker, and what it is answered with."""

from __future__ import annotations

import time
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import Field

from gym_queue.master.brokerview import BrokerView
from gym_queue.protocol.calls import Call
from gym_queue.protocol.sessions import Message


class OtherQueue(Message):
    """A queue that is not of workers: of replies, or of tasks that nobody takes."""

    name: str
    length: int | None = Field(ge=0)
    """Messages that wait; None when the broker did not say."""


class WorkerQueue(OtherQueue):
    """A queue of one worker and one runner."""

    consumers: list[str]
    """Ids of the workers that take from it."""
    runner: str | None


class Broker(Message):
    """Of ``GET /api/broker``."""

    as_of: float
    ok: bool
    error: str | None
    """Why the broker is not to be reached."""
    url: str
    """Without user, password and options."""
    kind: Literal["embedded", "redis", "amqp", "none"]
    queues: list[WorkerQueue]
    others: list[OtherQueue]


BROKER_CALLS = (
    Call(
        method="GET",
        path="/api/broker",
        summary="The broker: whether it answers, its queues, how much waits in them, and who takes it.",
        reply=Broker,
        reply_example={
            "as_of": 1767225600.0,
            "ok": True,
            "error": None,
            "url": "redis://10.0.0.5:6379/0",
            "kind": "redis",
            "queues": [
                {
                    "name": "env.local.worker-1",
                    "length": 0,
                    "runner": "local",
                    "consumers": ["worker-1"],
                }
            ],
            "others": [{"name": "gym_queue.replies.own", "length": 0}],
        },
    ),
)


def add_broker_call(app: FastAPI, view: BrokerView | None) -> None:
    """Add the call about the broker to the master's app; a master may have none."""

    @app.get("/api/broker")
    async def broker() -> dict[str, Any]:
        """The broker: whether it answers, its queues, how much waits in them, and who takes it."""
        if view is not None:
            return await view.look()
        none = {"ok": False, "error": "this master has no broker", "url": "", "kind": "none"}
        return {"as_of": time.time(), **none, "queues": [], "others": []}
