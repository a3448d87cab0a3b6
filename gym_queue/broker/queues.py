"""Looking at queues, and removing those of a dead worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import celery
from amqp.exceptions import NotFound as QueueNotFound
from kombu import Connection
from kombu.transport.virtual import Channel as VirtualChannel

from gym_queue.broker.errors import CONNECT_ONCE, broker_errors


def queue_length(app: celery.Celery, name: str) -> int:
    """Return how many messages wait in a queue; 0 when there is no such queue.

    Raises:
        BrokerUnavailable: The broker does not answer.
    """
    with broker_errors(app), connected(app) as connection:
        return length_of(connection, name)


def delete_queue(app: celery.Celery, name: str) -> int:
    """Delete a queue, if there is one, and what waits in it.

    Returns:
        How many messages were deleted with it.

    Raises:
        BrokerUnavailable: The broker does not answer.
    """
    return delete_queues(app, [name])


def delete_queues(app: celery.Celery, names: Iterable[str]) -> int:
    """Delete a dead worker's queues on one connection; see delete_queue."""
    with broker_errors(app), connected(app) as connection:
        return sum(_delete(app, connection, name) for name in names)


def connected(app: celery.Celery) -> Connection:
    """Return a connection that has been made; it is the caller's to release."""
    connection = app.connection_for_write()
    try:
        connection.ensure_connection(**CONNECT_ONCE)
    except BaseException:
        connection.release()
        raise
    return connection


def length_of(connection: Connection, name: str) -> int:
    """Return how many messages wait in a queue; 0 when there is no such queue."""
    channel: Any
    with connection.channel() as channel:
        if isinstance(channel, VirtualChannel):
            return int(channel._size(name))  # queue_declare raises for a Redis list that is empty
        try:
            return int(channel.queue_declare(queue=name, passive=True).message_count)
        except QueueNotFound:
            return 0


def _delete(app: celery.Celery, connection: Connection, name: str) -> int:
    app.amqp.queues.pop(name, None)
    channel: Any
    with connection.channel() as channel:
        if isinstance(channel, VirtualChannel):
            return channel.queue_purge(name) or 0  # an empty Redis list is no list
        return int(channel.queue_delete(name))  # RabbitMQ answers 0 for one that does not exist
