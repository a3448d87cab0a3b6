"""How much waits in many queues, in one question."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import celery
from kombu import Connection
from kombu.transport.redis import Channel as RedisChannel

from gym_queue.broker.errors import broker_errors
from gym_queue.broker.queues import connected, length_of


def queue_lengths(app: celery.Celery, names: Iterable[str], *, timeout_s: float) -> dict[str, int | None]:
    """Return how many messages wait in each queue. Blocks: for a thread.

    Args:
        app: Whose broker.
        names: Of the queues.
        timeout_s: What a broker does not tell within so many seconds is None; one answer may take longer.

    Raises:
        BrokerUnavailable: The broker does not answer.
    """
    deadline = time.monotonic() + timeout_s
    with broker_errors(app), connected(app) as connection:
        channel: Any
        with connection.channel() as channel:
            if isinstance(channel, RedisChannel):
                return _at_once(channel, list(names))
        return {name: _until(deadline, connection, name) for name in names}


def _at_once(channel: Any, names: list[str]) -> dict[str, int | None]:
    """Ask Redis for all of them in one round trip."""
    steps = channel.priority_steps
    with channel.conn_or_acquire() as client, client.pipeline(transaction=False) as pipeline:
        for name in names:
            for step in steps:
                pipeline.llen(channel._q_for_pri(name, step))
        lengths = iter(pipeline.execute())
    return {name: sum(int(next(lengths)) for _ in steps) for name in names}


def _until(deadline: float, connection: Connection, name: str) -> int | None:
    return length_of(connection, name) if time.monotonic() < deadline else None
