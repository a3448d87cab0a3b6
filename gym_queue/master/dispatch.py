"""Carrying a create to its worker: through Celery, or by HTTP to workers without queues."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from gym_queue.broker.sender import Sender
from gym_queue.errors import (
    BadReply,
    EnvTimeout,
    GymQueueError,
    RequestInvalid,
    RunnerFailed,
    WorkerUnreachable,
    error_types,
    from_wire,
)
from gym_queue.log import current_id
from gym_queue.master.placement import Placement
from gym_queue.master.shownargs import shown_arguments
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.queues import CREATE_TASK
from gym_queue.protocol.sessions import CreateReply, CreateRequest, Opened
from gym_queue.tracing import current

logger = logging.getLogger(__name__)

FIRST = asyncio.FIRST_COMPLETED
UNSTARTED_S = 15.0
"""How long a worker may say nothing of a create that was sent to it."""
SHOWN = 200
"""Characters of what a worker said that an error repeats."""


class Dispatcher(Protocol):
    """Sends one create and waits for its outcome."""

    async def open(self, placement: Placement, request: CreateRequest) -> CreateReply:
        """Open an environment on the placement's worker.

        Raises:
            GymQueueError: As the worker raised it, or what kept it from being asked.
        """

    def worker_lost(self, worker_id: str) -> None:
        """Fail what is on the way to a worker that is gone."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A create on its way."""

    placement: Placement
    request: CreateRequest
    answer: asyncio.Future[CreateReply]
    started: asyncio.Future[None]
    """Done once its worker has said that it began."""


class CeleryDispatcher:
    """Sends creates to a worker's own queue and resolves them from the replies; no thread a create.

    Args:
        sender: Publishes tasks.
        reply_to: The queue that replies come back on.
        timeout_s: Longest a worker may take.
        on_late: Called with what a worker opened and nobody waits for, there or any more.
    """

    def __init__(
        self,
        sender: Sender,
        reply_to: str,
        *,
        timeout_s: float,
        on_late: Callable[[Opened], None] = lambda _opened: None,
    ) -> None:
        self._sender = sender
        self._reply_to = reply_to
        self._timeout_s = timeout_s
        self.on_late = on_late
        self._waiting: dict[str, _Sent] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, placement: Placement, request: CreateRequest) -> CreateReply:
        """Open an environment through Celery; see Dispatcher."""
        env_id = str(request.env_id)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[CreateReply] = loop.create_future()
        sent = self._waiting[env_id] = _Sent(placement, request, answer, loop.create_future())
        try:
            await self._send(sent)
            async with asyncio.timeout(self._timeout_s):
                await self._until_started(sent)
                return await answer
        except TimeoutError:
            raise EnvTimeout(
                f"worker {placement.worker_id} did not open environment {env_id} within {self._timeout_s:g} s"
            ) from None
        finally:
            if self._waiting.get(env_id) is sent:
                del self._waiting[env_id]

    async def _until_started(self, sent: _Sent) -> None:
        """Send a create again of whose start nothing is heard: brokers lose messages when they are wiped."""
        word: set[asyncio.Future[Any]] = {sent.started, sent.answer}
        while not (await asyncio.wait(word, timeout=UNSTARTED_S, return_when=FIRST))[0]:
            logger.warning("nothing is heard of create %s: it is sent again", sent.request.env_id)
            await self._send_again(sent)

    def send_again(self) -> None:
        """Send what is on its way once more: a broker that was away may have lost it, or its answer.

        A worker that opens an environment, or has it, answers the second task with that one.
        """
        for sent in self._waiting.values():
            task = asyncio.ensure_future(self._send_again(sent))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send_again(self, sent: _Sent) -> None:
        try:
            await self._send(sent)
        except GymQueueError as error:
            logger.warning("the create of %s could not be sent again: %s", sent.request.env_id, error)

    async def _send(self, sent: _Sent) -> None:
        await self._sender.send(
            CREATE_TASK,
            {"request": sent.request.model_dump(mode="json", exclude_none=True)},
            task_id=str(sent.request.env_id),
            queue=str(sent.placement.queue),
            reply_to=self._reply_to,
            shown=shown_arguments(sent.request),
        )

    def on_reply(self, task_id: str, state: str, result: object) -> None:
        """Take one state of a create; called on the master's loop."""
        sent = self._waiting.get(task_id)
        is_awaited = sent is not None and not sent.answer.done()
        if sent is not None and not sent.started.done():
            sent.started.set_result(None)
        if state in ("STARTED", "RECEIVED", "RETRY", "PENDING"):
            return
        if state != "SUCCESS":
            error = error_of(state, result)
            if sent is not None and is_awaited and _is_of(error, sent.placement):
                sent.answer.set_exception(error)
            return
        try:
            opened = parse_model(Opened, result)
        except RequestInvalid as error:
            if sent is not None and is_awaited:
                worker_id = sent.placement.worker_id
                sent.answer.set_exception(
                    BadReply(f"worker {worker_id} answered create {task_id} with something else: {error}")
                )
            return
        if sent is not None and is_awaited and opened.worker_id == sent.placement.worker_id:
            sent.answer.set_result(_reply(opened))
        else:  # of a worker that was given up on, or the second answer to a create that was sent twice
            self.on_late(opened)

    def worker_lost(self, worker_id: str) -> None:
        """Fail what is on the way to a worker that is gone."""
        for env_id, sent in self._waiting.items():
            if sent.placement.worker_id == worker_id and not sent.answer.done():
                sent.answer.set_exception(_went_away(worker_id, env_id))


class HttpDispatcher:
    """Sends creates by ``POST /envs/create``.

    Args:
        client: For calls to workers.
        timeout_s: Longest a worker may take.
    """

    def __init__(self, client: httpx.AsyncClient, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._waiting: dict[str, tuple[str, asyncio.Future[None]]] = {}

    async def open(self, placement: Placement, request: CreateRequest) -> CreateReply:
        """Open an environment by HTTP; see Dispatcher."""
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        post = asyncio.ensure_future(self._post(placement, request))
        self._waiting[str(request.env_id)] = (placement.worker_id, gone)
        try:
            both: set[asyncio.Future[Any]] = {post, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if post.done():
                return _reply_of(post.result(), placement)
            raise _went_away(placement.worker_id, request.env_id)
        finally:
            post.cancel()
            self._waiting.pop(str(request.env_id), None)

    def worker_lost(self, worker_id: str) -> None:
        """Fail what is on the way to a worker that is gone."""
        for owner, gone in self._waiting.values():
            if owner == worker_id and not gone.done():
                gone.set_result(None)

    async def _post(self, placement: Placement, request: CreateRequest) -> httpx.Response:
        body = request.model_dump(mode="json", exclude_none=True)
        try:
            return await self._client.post(
                f"{placement.worker_url}/envs/create",
                json=body,
                headers={**current(), **_request_header()},
                timeout=self._timeout_s,
            )
        except httpx.TimeoutException as error:
            raise EnvTimeout(
                f"worker {placement.worker_id} did not open the environment within {self._timeout_s:g} s"
            ) from error
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
            raise WorkerUnreachable(
                f"worker {placement.worker_id} at {placement.worker_url} cannot be reached: {why}"
            ) from error


def _request_header() -> dict[str, str]:
    request_id = current_id("request_id")
    return {} if request_id is None else {"X-Request-ID": request_id}


def _reply_of(reply: httpx.Response, placement: Placement) -> CreateReply:
    """Return what a worker answered.

    Raises:
        BadReply: It is not a reply to a create.
        GymQueueError: The worker's own error.
    """
    where = {"worker_id": placement.worker_id, "worker_url": placement.worker_url}
    try:
        found = reply.json()
        created = None if reply.is_error else parse_model(CreateReply, {**found, **where})
    except (ValueError, TypeError, RequestInvalid) as error:
        raise BadReply(
            f"worker {placement.worker_id} answered the create ({reply.status_code}) with something else: {str(error)[:SHOWN]}"
        ) from error
    if created is None:
        raise from_wire(reply.status_code, found if isinstance(found, dict) else {})
    return created


def _is_of(error: GymQueueError, placement: Placement) -> bool:
    """Return whether a failure is of the worker that is asked now, not of one that was given up on."""
    return error.details.get("worker_id") in (None, placement.worker_id)


def _went_away(worker_id: str, env_id: str | None) -> WorkerUnreachable:
    return WorkerUnreachable(f"worker {worker_id} went away while it opened {env_id}")


def error_of(state: str, result: object) -> GymQueueError:
    """Return the error that a failed task's result stands for.

    Args:
        state: FAILURE or REVOKED.
        result: Celery's JSON of the exception: exc_type, exc_message (its args), exc_module.
    """
    raw: dict[str, Any] = result if isinstance(result, dict) else {}
    name, arguments = str(raw.get("exc_type", "")), raw.get("exc_message")
    for kind in error_types().values():
        if kind.__name__ == name and isinstance(arguments, list | tuple) and arguments:
            details = arguments[1] if len(arguments) > 1 and isinstance(arguments[1], dict) else {}
            return kind(str(arguments[0]), details)
    if state == "REVOKED":
        return RunnerFailed("the create was revoked on its worker")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, default=str)
    return RunnerFailed(f"the create failed on its worker: {name or state}: {text}")


def _reply(opened: Opened) -> CreateReply:
    return CreateReply(
        env_id=opened.env_id,
        worker_id=opened.worker_id,
        worker_url=opened.worker_url,
        env_token=opened.env_token,
        open_s=opened.open_s,
    )
