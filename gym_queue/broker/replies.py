"""Results of every task a master sent, on one thread and one queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import celery
from kombu import Connection, Consumer, Exchange, Producer, Queue

from gym_queue.broker.app import REPLY_EXPIRES_S
from gym_queue.broker.errors import CONNECT_ONCE
from gym_queue.broker.listener import Listener

NO_REPLY: dict[str, Any] = {}
OnReply = Callable[[str, str, object, str | None], None]
"""Called with task id, state, result, traceback."""


def reply_queue(master_id: str) -> str:
    """Return the name of the queue that a master's replies come on."""
    return f"gym_queue.replies.{master_id}"


class ReplyListener(Listener):
    """Hands on each state that workers report: STARTED, then SUCCESS, FAILURE, RETRY or REVOKED.

    Workers publish them to the queue that the task's ``reply_to`` names, through the default exchange: send
    tasks with ``reply_to=listener.queue_name``.

    Args:
        app: Whose broker to listen to.
        master_id: Names the queue; a master that keeps it over a restart gets what came meanwhile.
        on_reply: ``(task_id, state, result, traceback)``, called on the listener's thread: it must not block.
            A failure's result is ``{"exc_type", "exc_message", "exc_module"}``.
    """

    def __init__(self, app: celery.Celery, master_id: str, on_reply: OnReply) -> None:
        super().__init__(app, "gym-queue-replies", self._make)
        self.queue_name = reply_queue(master_id)
        self._on_reply = on_reply

        self._queue = Queue(
            self.queue_name,
            Exchange(""),
            routing_key=self.queue_name,
            durable=True,  # RabbitMQ 4 refuses queues that are neither durable nor exclusive
            auto_delete=False,
            expires=REPLY_EXPIRES_S,
        )

    def _make(self, connection: Connection) -> Consumer:
        return Consumer(
            connection.default_channel,
            [self._queue],
            callbacks=[lambda body, _message: self.guard(self._hand_on, body)],
            accept=["json"],
            on_decode_error=self.drop,
            no_ack=True,
        )

    def wake(self) -> None:
        """Send itself a message that is no reply: kombu ends no BRPOP that waits, which it does for a second."""
        with self._app.connection_for_write() as connection:
            connection.ensure_connection(**CONNECT_ONCE)
            Producer(connection).publish(
                NO_REPLY, routing_key=self.queue_name, serializer="json", declare=[self._queue]
            )

    def _hand_on(self, body: dict[str, Any]) -> None:
        if body == NO_REPLY:  # ours, or of the master that had this queue before
            return
        self._on_reply(body["task_id"], body["status"], body.get("result"), body.get("traceback"))
