"""A thread that consumes from the broker for ever, across its restarts."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import celery
from kombu import Connection, Consumer

from gym_queue.broker.errors import CONNECT_ONCE, foreign_errors
from gym_queue.broker.url import safe_url

logger = logging.getLogger(__name__)

POLL_S = 0.25
"""How long a wait for messages may overlook ``stop``."""
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses before each new connection; the last one repeats."""
STOP_TIMEOUT_S = 2.0

MakeConsumer = Callable[[Connection], Consumer]


class Listener:
    """Consumes what ``make_consumer`` says, on a connection and a thread of its own.

    Args:
        app: Whose broker to listen to.
        name: The thread's name.
        make_consumer: Called with each new connection; returns the consumer, not yet consuming.
    """

    def __init__(self, app: celery.Celery, name: str, make_consumer: MakeConsumer) -> None:
        self._app = app
        self._name = name
        self._make_consumer = make_consumer
        self._stopping = threading.Event()
        self._consuming = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures_in_a_row = 0
        self.on_reconnect: Callable[[], None] = lambda: None
        """Called on the thread once messages are seen again after the broker was away."""
        self.error: str | None = None
        """Why it has no connection; None while it has one, and before the first try."""
        self.outages = 0
        """How often the broker was lost."""
        self.dropped = 0
        """How many messages could not be read, or made their callback fail."""

    def start(self) -> None:
        """Start the thread; it connects by itself."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop consuming and wait, at most 2 s, for the thread. Safe to call twice."""
        thread, self._thread = self._thread, None
        self._stopping.set()
        if thread is None:
            return
        thread.join(POLL_S + 0.05)
        if thread.is_alive():
            threading.Thread(target=self._wake, name=f"{self._name}-wake", daemon=True).start()
            thread.join(STOP_TIMEOUT_S)
        if thread.is_alive():  # it is a daemon, in a connect that has its own limit
            logger.warning("%s is still waiting for the broker; left behind", self._name)

    def wake(self) -> None:
        """Make the thread's wait for messages end, where it would take long: here it does not. May hang or raise."""

    def wait_until_consuming(self, timeout_s: float) -> bool:
        """Wait until messages would be seen; False when that took longer than ``timeout_s`` seconds."""
        return self._consuming.wait(timeout_s)

    def guard(self, call: Callable[..., None], *args: object) -> None:
        """Run a callback, so that one bad message never ends the thread."""
        try:
            call(*args)
        except Exception:
            self.dropped += 1
            logger.exception("%s: a message was dropped", self._name)

    def drop(self, message: Any, error: Exception) -> None:
        """Take note of a message that is not JSON, and go on."""
        self.dropped += 1
        logger.warning("%s: a message of type %s was dropped: %s", self._name, message.content_type, error)

    def _wake(self) -> None:
        with suppress(*foreign_errors(self._app)):  # a broker that is away, or hangs, holds up nobody
            self.wake()

    def _run(self) -> None:
        foreign = foreign_errors(self._app)
        while not self._stopping.is_set():
            try:
                with self._app.connection_for_read() as connection:
                    self._consume(connection)
            except foreign as error:
                self._note_outage(error)
            except Exception as error:
                logger.exception("%s failed", self._name)
                self._note_outage(error)
            finally:
                self._consuming.clear()

    def _consume(self, connection: Connection) -> None:
        connection.ensure_connection(**CONNECT_ONCE)  # or kombu would go on by itself, deaf to stop
        with self._make_consumer(connection):
            was_away, self._failures_in_a_row = self._failures_in_a_row > 0, 0
            self._consuming.set()
            self.error = None
            if was_away:
                logger.info("%s is connected to the broker again", self._name)
                self.guard(self.on_reconnect)
            while not self._stopping.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=POLL_S)
                if connection.heartbeat and connection.supports_heartbeats:
                    connection.heartbeat_check()

    def _note_outage(self, error: BaseException) -> None:
        if self._stopping.is_set():
            return
        self.error = str(error) or type(error).__name__
        if not self._failures_in_a_row:
            self.outages += 1
            logger.warning(
                "%s lost the broker %s: %s; trying again until it is back",
                self._name,
                safe_url(self._app.conf.broker_url),
                error,
            )
        pause_s = BACKOFF_S[min(self._failures_in_a_row, len(BACKOFF_S) - 1)]
        self._failures_in_a_row += 1
        self._stopping.wait(pause_s)
