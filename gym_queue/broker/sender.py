"""Sending tasks without blocking the event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import celery
from kombu.pools import ProducerPool

from gym_queue.broker.errors import broker_errors, broker_unavailable
from gym_queue.log import current_id
from gym_queue.names import REQUEST_HEADER
from gym_queue.tracing import Trace, current

THREADS = 2
HIDDEN = "(hidden)"
"""Shown for a task's arguments in events and logs, unless the sender says what may be: some are secrets."""


class Sender:
    """Publishes tasks from a few threads of its own.

    Args:
        app: Whose broker to send to.
        timeout_s: Longest a send may take, waiting for a free thread included.
    """

    def __init__(self, app: celery.Celery, *, timeout_s: float = 5.0) -> None:
        self._app = app
        self._timeout_s = timeout_s
        self._connections: Any = app.connection_for_write().Pool(THREADS)
        self._producers: Any = ProducerPool(self._connections, limit=THREADS)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="gym-queue-sender")

    async def send(
        self,
        name: str,
        kwargs: Mapping[str, Any],
        *,
        task_id: str,
        queue: str,
        reply_to: str,
        shown: str = HIDDEN,
    ) -> None:
        """Send one task.

        Args:
            name: The task's name.
            kwargs: Its arguments, JSON-ready.
            task_id: Its id; replies carry it.
            queue: The queue it goes to, made if need be.
            reply_to: The queue that its states go to, ReplyListener.queue_name.
            shown: What events and logs show of its arguments: no secrets.

        Raises:
            BrokerUnavailable: The broker did not take it in time. One that hangs may still get it: a task
                sent again must carry the same id, and its worker must take it once.
        """
        deadline = time.monotonic() + self._timeout_s
        job = self._threads.submit(
            self._publish, deadline, name, kwargs, task_id, queue, reply_to, shown, _told()
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise broker_unavailable(self._app, f"no answer in {self._timeout_s:g} s") from error

    def close(self) -> None:
        """Give up sends that no thread has taken, and let the connections go. Waits for no hung broker."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._producers.force_close_all()
        self._connections.force_close_all()

    def _publish(
        self,
        deadline: float,
        name: str,
        kwargs: Mapping[str, Any],
        task_id: str,
        queue: str,
        reply_to: str,
        shown: str,
        trace: Trace,
    ) -> None:
        # Below Celery's send_task, which would also make a reply queue for each of these threads, that no one
        # reads, retrying for ever while the broker is away.
        amqp: Any = self._app.amqp
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise broker_unavailable(self._app, "earlier sends are still waiting for it")
        message = amqp.as_task_v2(
            task_id,
            name,
            kwargs=kwargs,
            reply_to=reply_to,
            create_sent_event=True,
            argsrepr="()",
            kwargsrepr=shown,
        )
        with broker_errors(self._app), self._producers.acquire(block=True, timeout=left_s) as producer:
            amqp.send_task_message(
                producer,
                name,
                message,
                queue=queue,
                retry=True,
                retry_policy=_retry_policy(left_s),
                headers=dict(trace),
            )


def _told() -> Trace:
    """Return what a task tells its worker of the request that it is part of."""
    request_id = current_id("request_id")
    return current() if request_id is None else {**current(), REQUEST_HEADER: request_id}


def _retry_policy(left_s: float) -> dict[str, Any]:
    """Return kombu's policy for as many tries, half a second apart, as the time left allows."""
    return {
        # What kombu fails with when it reconnected to declare the queue, and then publishes on the old channel.
        "retry_errors": (AttributeError,),
        "max_retries": max(1, int(left_s / 0.5)),
        "interval_start": 0,
        "interval_step": 0.25,
        "interval_max": 0.5,
    }
