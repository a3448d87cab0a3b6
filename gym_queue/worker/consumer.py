"""The Celery side of a worker: the task that opens environments, and the bootsteps around it."""

from __future__ import annotations

import concurrent.futures
import logging
import time
from collections.abc import Sequence
from typing import Any, Protocol

from celery import Celery, bootsteps
from celery.worker.consumer import Consumer
from kombu import Queue

from gym_queue.errors import GymQueueError, NoCapacity
from gym_queue.log import log_ids
from gym_queue.names import REQUEST_HEADER
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.queues import CREATE_TASK
from gym_queue.protocol.sessions import CreateRequest, Opened
from gym_queue.tracing import trace_of
from gym_queue.web.requestid import SAFE_ID
from gym_queue.web.server import LoopThread
from gym_queue.worker.host import Host
from gym_queue.worker.http import WorkerIdentity

logger = logging.getLogger(__name__)


class Part(Protocol):
    """A part of the worker that starts and stops with it."""

    def start(self) -> None:
        """Start; returns when it serves."""

    def stop(self) -> None:
        """Stop; returns when nothing is left."""


class PatientConsumer(Consumer):
    """A Celery consumer that outlives its broker however that ends.

    kombu's Redis transport may raise an AttributeError out of a connection that has gone: Celery takes it for a bug,
    ends the worker, and with it every environment.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known: tuple[type[BaseException], ...] = self.connection_errors  # type: ignore[has-type]
        self.connection_errors = (*known, AttributeError)

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Drop the connection; what goes wrong meanwhile is told, and the next connection is made all the same."""
        try:
            super().on_connection_error_after_connected(exc)
        except Exception:
            logger.warning("the connection to the broker did not end cleanly", exc_info=True)


def add_create_task(app: Celery, host: Host, loop: LoopThread, identity: WorkerIdentity) -> None:
    """Register ``gym_queue.create_env`` with the app."""

    def create_env(task: Any, request: dict[str, Any]) -> _Answer:
        """Open an environment in a process of its own."""
        queue = str(task.request.delivery_info.get("routing_key"))
        told = {
            "messaging.system": "celery",
            "messaging.destination.name": queue,
            "gym_queue.env_id": str(task.request.id),
            "gym_queue.worker_id": identity.worker_id,
        }
        with (
            log_ids(**_ids(task)),
            host.tracing.span(CREATE_TASK, of=trace_of(task.request), kind="CONSUMER", told=told),
        ):
            logger.info("task %s id=%s queue=%s", CREATE_TASK, task.request.id, queue)
            return _Answer(_open(host, loop, identity, parse_model(CreateRequest, request)))

    register: Any = app.task
    register(create_env, name=CREATE_TASK, bind=True, throws=(GymQueueError,))  # logged without a traceback


def _ids(task: Any) -> dict[str, str]:
    """Return the ids that are on the log's lines about a create, here as on the master."""
    given = str(task.request.get(REQUEST_HEADER) or "")
    request = {"request_id": given} if SAFE_ID.fullmatch(given) else {}
    return {**request, "env_id": str(task.request.id)}


def _open(host: Host, loop: LoopThread, identity: WorkerIdentity, request: CreateRequest) -> Opened:
    start = time.perf_counter()
    try:
        env = loop.run(host.open(request))
    except (RuntimeError, concurrent.futures.CancelledError) as error:
        raise NoCapacity(
            "this worker is shutting down: the master sends the create elsewhere",
            {"worker_id": identity.worker_id},
        ) from error
    except GymQueueError as error:  # says whose it is: the create may have been sent to others as well
        raise type(error)(error.message, {**error.details, "worker_id": identity.worker_id}) from error
    return Opened(
        env_id=env.env_id,
        worker_id=identity.worker_id,
        worker_url=identity.url,
        env_token=env.token,
        open_s=time.perf_counter() - start,
    )


class _Answer:
    """What the task returns: the reply has it whole, Celery's events and log lines without the environment's token.

    Args:
        opened: What was opened.
    """

    def __init__(self, opened: Opened) -> None:
        self._opened = opened

    def __repr__(self) -> str:
        return repr(self._opened)

    def __json__(self) -> dict[str, Any]:
        """Return what kombu's serializer writes."""
        return self._opened.model_dump()


def set_queues(app: Celery, names: Sequence[str]) -> None:
    """Make the app consume just these queues."""
    app.conf.task_queues = [Queue(name, exchange="", routing_key=name) for name in names]


def add_steps(app: Celery, parts: Sequence[Part]) -> None:
    """Start ``parts`` with the Celery worker, in order, before it consumes; stop them in reverse, after it."""
    previous: str | type[Any] = "celery.worker.components:Pool"
    for part in parts:
        previous = _make_step(part, previous)
        app.steps["worker"].add(previous)


def _make_step(part: Part, after: str | type[Any]) -> type[Any]:
    """Return a bootstep class for one part; Celery makes the instance."""

    class PartStep(bootsteps.StartStopStep):
        name = type(part).__name__
        requires = (after,)

        def start(self, _worker: Any) -> None:
            part.start()

        def stop(self, _worker: Any) -> None:
            part.stop()

        def terminate(self, _worker: Any) -> None:
            part.stop()

    return PartStep
