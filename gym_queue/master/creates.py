"""Creates that wait, are on their way, or were cancelled: queue, placement, dispatch, re-send."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Hashable

from gym_queue.errors import (
    BrokerUnavailable,
    Cancelled,
    GymQueueError,
    Infrastructure,
    RunnerUnavailable,
)
from gym_queue.log import log_ids
from gym_queue.master.dispatch import Dispatcher
from gym_queue.master.fleet import Fleet
from gym_queue.master.placement import Placement, Unplaceable, need_of, place
from gym_queue.master.refusals import Refusals
from gym_queue.master.routes import CLOSED, Routes
from gym_queue.master.waiting import (
    Waiting,
    check_digest,
    check_request,
    digest_of,
    hopeless,
    no_capacity,
    shutting_down,
)
from gym_queue.protocol.sessions import CreateReply, CreateRequest

logger = logging.getLogger(__name__)

MAX_SENDS = 3
"""Workers a create is tried on before its error is final."""
BROKER_PAUSE_S = 1.0
"""How long a create that the broker did not take waits before it is sent again."""


class Creates:
    """Answers creates. Lives on the master's loop.

    Args:
        fleet: Whom to place on.
        routes: Where slots are reserved and results are routed.
        dispatchers: By Celery, or None without a broker; and by HTTP.
        undo: Closes an environment that nobody waits for any more.
        queue_timeout_s: How long a create waits that does not say.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        fleet: Fleet,
        routes: Routes,
        *,
        celery: Dispatcher | None,
        http: Dispatcher,
        undo: Callable[[CreateReply], Awaitable[None]],
        queue_timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fleet, self._routes = fleet, routes
        self._celery, self._http = celery, http
        self._undo = undo
        self._queue_timeout_s = queue_timeout_s
        self._clock = clock
        self._creates: dict[str, Waiting] = {}
        self._undoing: dict[str, asyncio.Future[None]] = {}
        self._refusals = Refusals(clock)
        self._arrivals = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def create(self, request: CreateRequest) -> CreateReply:
        """Place, dispatch and route an environment; the same id again gets the same environment.

        Raises:
            NoCapacity: No worker could take it in time, or none that is here ever could.
            Conflict: Another request has this id.
            GymQueueError: What the worker raised.
        """
        check_request(request)
        if request.env_id is None:
            request = request.model_copy(update={"env_id": str(uuid.uuid4())})
        env_id, digest = str(request.env_id), digest_of(request)
        if (undoing := self._undoing.get(env_id)) is not None:
            await asyncio.wait([undoing])
        if self._is_stopping:
            raise shutting_down()
        if (route := self._routes.find_created(env_id)) is not None:
            check_digest(env_id, route.digest, digest)
            return route.created()
        waiting = self._creates.get(env_id) or self._admit(request, digest)
        check_digest(env_id, waiting.digest, digest)
        return await self._wait(waiting)

    def cancel(self, env_id: str) -> bool:
        """Give up a create; one that is on its way is undone when it arrives.

        Returns:
            Whether there was one.
        """
        waiting = self._creates.get(env_id)
        if waiting is None:
            return False
        waiting.refuse(Cancelled(f"the create of environment {env_id} was cancelled"))
        if waiting.placement is None:
            del self._creates[env_id]
            self._routes.remove(env_id, CLOSED)
            self.pump()
        return True

    def queue(self) -> list[Waiting]:
        """Return the creates that wait for a slot, first to be served first."""
        return sorted((w for w in self._creates.values() if w.placement is None), key=lambda w: w.order)

    def find(self, env_id: str) -> Waiting | None:
        """Return a create that has not been answered."""
        return self._creates.get(env_id)

    def pump(self) -> None:
        """Place whatever can be placed: by priority, then arrival; who waits for something else is not held up."""
        blocked: set[Hashable] = set()
        for waiting in self.queue():
            need = waiting.need
            if need.awaited in blocked or waiting.answer.done() or waiting.not_before > self._clock():
                continue
            found, barred = self._place(waiting)
            if isinstance(found, Placement):
                self._send(waiting, found)
                continue
            waiting.why_not = {
                worker_id: barred.get(worker_id, why) for worker_id, why in found.reasons.items()
            }
            if found.hopeless:
                self._fail(waiting, hopeless(waiting))
            elif not barred:
                blocked.add(need.awaited)

    def tick(self) -> None:
        """Refuse creates that waited too long, and place those whose pause is over."""
        for waiting in self.queue():
            limit_s = waiting.request.queue_timeout_s
            waited_s = self._clock() - waiting.since
            if waited_s > (self._queue_timeout_s if limit_s is None else limit_s):
                self._fail(waiting, no_capacity(f"no slot came free in {waited_s:.0f} s", waiting))
        self.pump()

    def worker_lost(self, worker_id: str) -> None:
        """Fail what is on the way to a worker whose process is gone; its successor starts without a record."""
        for dispatcher in (self._celery, self._http):
            if dispatcher is not None:
                dispatcher.worker_lost(worker_id)
        self._refusals.forget(worker_id)
        for waiting in self._creates.values():
            waiting.excluded.pop(worker_id, None)

    def stop(self) -> None:
        """Fail every create that is not answered, and those to come."""
        self._is_stopping = True
        for waiting in list(self._creates.values()):
            self._fail(waiting, shutting_down())

    def _admit(self, request: CreateRequest, digest: str) -> Waiting:
        order = (-request.priority, next(self._arrivals))
        answer: asyncio.Future[CreateReply] = asyncio.get_running_loop().create_future()
        waiting = Waiting(request, need_of(request), digest, order, self._clock(), answer)
        self._creates[waiting.env_id] = waiting
        self.pump()
        return waiting

    async def _wait(self, waiting: Waiting) -> CreateReply:
        """Wait for the answer. A create that all its clients left loses its place, or is undone when it arrives."""
        waiting.callers += 1
        try:
            return await asyncio.shield(waiting.answer)
        finally:
            waiting.callers -= 1
            if not waiting.callers and waiting.placement is None and not waiting.answer.done():
                self._creates.pop(waiting.env_id, None)
                self.pump()

    def _place(self, waiting: Waiting) -> tuple[Placement | Unplaceable, dict[str, str]]:
        """Return where a create can go now, and the workers it must not go to."""
        barred = {**self._refusals.of(waiting.need), **waiting.excluded}
        return place(waiting.need, self._fleet.snapshots(), exclude=barred), barred

    def _send(self, waiting: Waiting, placement: Placement) -> None:
        waiting.placement = placement
        waiting.process = self._fleet.process(placement.worker_id)
        self._routes.reserve(waiting.env_id, placement.worker_id, placement.worker_url)
        task = asyncio.ensure_future(self._dispatch(waiting, placement))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dispatch(self, waiting: Waiting, placement: Placement) -> None:
        through = self._celery if placement.queue and self._celery else self._http
        with log_ids(env_id=waiting.env_id):
            queued_s = self._clock() - waiting.since
            logger.info("create sent to %s", placement.queue or placement.worker_url)
            try:
                reply = await through.open(placement, waiting.request)
                await self._succeeded(waiting, reply.model_copy(update={"queued_s": round(queued_s, 4)}))
            except GymQueueError as error:
                self._failed(waiting, placement, error)
            except Exception:
                logger.exception("create on %s failed, which is a bug", placement.worker_id)
                self._failed(
                    waiting,
                    placement,
                    GymQueueError("the master failed on this create: its log has the details"),
                )
            except asyncio.CancelledError:  # the loop is ending
                self._routes.release(waiting.env_id)
                self._fail(waiting, shutting_down())
                raise

    async def _succeeded(self, waiting: Waiting, reply: CreateReply) -> None:
        env_id = waiting.env_id
        if waiting.is_wanted:
            self._routes.ready(reply, reserved=env_id, digest=waiting.digest)
            del self._creates[env_id]
            waiting.answer.set_result(reply)
            return
        self._creates.pop(env_id, None)
        self._routes.release(env_id)
        if not self._is_stopping:  # else the environment waits for its client's retry, and the next master
            await self._undo_unwanted(env_id, reply)

    async def _undo_unwanted(self, env_id: str, reply: CreateReply) -> None:
        """Close an environment nobody waits for; no heartbeat brings it back, and a retry of its create waits."""
        for known_as in {env_id, reply.env_id}:
            self._routes.remove(known_as, CLOSED)
        undoing = self._undoing[env_id] = asyncio.get_running_loop().create_future()
        try:
            await self._undo(reply)
        finally:
            del self._undoing[env_id]
            undoing.set_result(None)
            self.pump()

    def _failed(self, waiting: Waiting, placement: Placement, error: GymQueueError) -> None:
        """Try again, or another worker, when that may help, else hand the error on."""
        logger.warning("create on %s failed: %s", placement.worker_id, error)
        env_id = waiting.env_id
        self._routes.release(env_id)
        self._routes.abandon(env_id, placement.worker_id)  # it may still carry the create out
        waiting.placement = None
        if not waiting.is_wanted:
            self._creates.pop(env_id, None)
            self._routes.remove(env_id, CLOSED)
        elif isinstance(error, BrokerUnavailable):
            waiting.not_before = self._clock() + BROKER_PAUSE_S
            waiting.why_not = {"broker": str(error)}
        elif not self._may_be_sent_again(waiting, placement, error):
            self._fail(waiting, error)
        self.pump()

    def _may_be_sent_again(self, waiting: Waiting, placement: Placement, error: GymQueueError) -> bool:
        if not (isinstance(error, Infrastructure) and error.retryable):
            return False
        worker_id = placement.worker_id
        if self._fleet.process(worker_id) == waiting.process:
            waiting.excluded[worker_id] = f"failed this create: {error}"
            if isinstance(error, RunnerUnavailable):
                self._refusals.note(waiting.need, worker_id, str(error))
        waiting.failures += not isinstance(error, RunnerUnavailable)
        found, _ = self._place(waiting)
        return waiting.failures < MAX_SENDS and (isinstance(found, Placement) or not found.hopeless)

    def _fail(self, waiting: Waiting, error: GymQueueError) -> None:
        self._creates.pop(waiting.env_id, None)
        waiting.refuse(error)
