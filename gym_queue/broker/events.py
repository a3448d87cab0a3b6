"""Celery's own event stream: what workers and senders say of themselves and their tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import celery
from celery.events import EventReceiver
from kombu import Connection, Consumer

from gym_queue.broker.listener import Listener

OnEvent = Callable[[dict[str, Any]], None]


class EventListener(Listener):
    """Hands on every Celery event (task-sent, task-received, task-started, .., worker-heartbeat).

    Events of a time when the broker was away are lost: they are statistics, not facts to rely on.

    Args:
        app: Whose broker to listen to.
        on_event: Called with each event on the listener's thread: it must not block. Celery's fields, and
            ``local_received`` (Unix seconds).
    """

    def __init__(self, app: celery.Celery, on_event: OnEvent) -> None:
        super().__init__(app, "gym-queue-events", self._make)
        self._on_event = on_event

    def _make(self, connection: Connection) -> Consumer:
        channel = connection.default_channel
        receiver: Any = EventReceiver(channel, handlers={"*": self._on_event}, app=self._app)
        return Consumer(
            channel,
            [receiver.queue],
            callbacks=[lambda body, _message: self._each(receiver, body)],
            accept=["json"],
            on_decode_error=self.drop,
            no_ack=True,
        )

    def _each(self, receiver: Any, body: dict[str, Any] | list[dict[str, Any]]) -> None:
        for event in body if isinstance(body, list) else [body]:
            self.guard(lambda raw: receiver.process(*receiver.event_from_message(raw)), event)
