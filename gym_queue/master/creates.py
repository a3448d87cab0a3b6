"""Creates that wait, are on their way, or were cancelled: queue, placement, dispatch, re-send."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence

from gym_queue.errors import (
    BrokerUnavailable,
    Cancelled,
    GymQueueError,
    Infrastructure,
    NoCapacity,
    RunnerUnavailable,
    WorkerUnreachable,
)
from gym_queue.log import log_ids
from gym_queue.master.clearing import Clearing
from gym_queue.master.dispatch import Dispatcher
from gym_queue.master.facts import Notes
from gym_queue.master.fairshare import Order, by_arrival
from gym_queue.master.fleet import Fleet
from gym_queue.master.placement import Placement, Unplaceable, could_ever, place
from gym_queue.master.records import WorkerSnapshot
from gym_queue.master.refusals import FullWorkers, Refusals
from gym_queue.master.routes import CLOSED, Route, Routes
from gym_queue.master.unclaimed import Unclaimed
from gym_queue.master.waiting import (
    Waiting,
    check_digest,
    check_request,
    digest_of,
    hopeless,
    no_capacity,
    shutting_down,
)
from gym_queue.master.waitinglist import WaitingList
from gym_queue.protocol.fleet import WorkerStatus
from gym_queue.protocol.sessions import CreateReply, CreateRequest

logger = logging.getLogger(__name__)

MAX_SENDS = 3
"""Workers a create is tried on before its error is final."""
BROKER_PAUSE_S = 1.0
"""How long a create that the broker did not take waits before it is sent again."""
RETURN_S = 60.0
"""How long after a restart a create waits for its client to ask again."""


class Creates:
    """Answers creates. Lives on the master's loop.

    Args:
        fleet: Whom to place on.
        routes: Where slots are reserved and results are routed.
        dispatchers: By Celery, or None without a broker; and by HTTP.
        undo: Closes an environment that nobody waits for any more.
        queue_timeout_s: How long a create waits that does not say.
        clock: Monotonic seconds.
        wall: Unix seconds.
        wait_for_workers: Whether what no worker could take waits for one that can.
        return_s: How long after a restart a create waits for its client to ask again.
        unclaimed: Environments of such creates that were opened, and not asked for yet.
        clearing: What is being closed; a create of the same id waits for that.
        notes: Where what must outlive this master is written down.
        order: Says who is served first; by priority, then arrival, when not given.
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
        wall: Callable[[], float] = time.time,
        wait_for_workers: bool = False,
        return_s: float = RETURN_S,
        unclaimed: Unclaimed | None = None,
        clearing: Clearing | None = None,
        notes: Notes | None = None,
        order: Order = by_arrival,
    ) -> None:
        self._fleet, self._routes = fleet, routes
        self._celery, self._http = celery, http
        self._undo = undo
        self._queue_timeout_s = queue_timeout_s
        self._clock = clock
        self._wait_for_workers, self._return_s = wait_for_workers, return_s
        self._unclaimed = unclaimed or Unclaimed()
        self._list = WaitingList(notes, clock=clock, wall=wall, order=order)
        self.outcomes, self.waiting = self._list.outcomes, self._list
        self._clearing = clearing or Clearing()
        self._refusals = Refusals(clock)
        self._full = FullWorkers(clock)
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_stopping = False

    async def create(self, request: CreateRequest) -> CreateReply:
        """Place, dispatch and route an environment; the same id again gets the same environment.

        Raises:
            NoCapacity: No worker could take it in time, or none that is here could.
            NotSupported: No worker that is or ever was here could take it.
            Conflict: Another request has this id.
            GymQueueError: What the worker raised.
        """
        check_request(request)
        if request.env_id is None:
            request = request.model_copy(update={"env_id": str(uuid.uuid4())})
        env_id, digest = str(request.env_id), digest_of(request)
        await self._clearing.wait(env_id, self._limit_s(request))
        if self._is_stopping:
            raise shutting_down()
        if (route := self._routes.find_created(env_id)) is not None:
            check_digest(env_id, route.digest, digest)
            self._unclaimed.claim(route.env_id)
            return route.created()
        waiting = self._list.get(env_id) or self._admit(request, digest)
        check_digest(env_id, waiting.digest, digest)
        return await self._wait(waiting)

    def cancel(self, env_id: str) -> bool:
        """Give up a create; one that is on its way is undone when it arrives.

        Returns:
            Whether there was one.
        """
        waiting = self._list.get(env_id)
        if waiting is None:
            return self._clearing.call_off(env_id)
        waiting.refuse(Cancelled(f"the create of environment {env_id} was cancelled"))
        if waiting.placement is None:
            self._list.drop(env_id)
            self._routes.remove(env_id, CLOSED)
            self.pump()
        else:
            self._list.forget(env_id)
            self._routes.abandon(
                env_id, waiting.placement.worker_id
            )  # should this master not live to undo it
        return True

    def queue(self) -> list[Waiting]:
        """Return the creates that wait for a slot, first to be served first."""
        return self._list.queue()

    def find(self, env_id: str) -> Waiting | None:
        """Return a create that has not been answered."""
        return self._list.get(env_id)

    def is_undoing(self, env_id: str) -> bool:
        """Return whether an environment is being closed because nobody waits for it."""
        return env_id in self._clearing

    def pump(self) -> None:
        """Place whatever can be placed, in the queue's order; who waits for something else is not held up."""
        blocked: dict[str, dict[str, str]] = {}
        workers: Sequence[WorkerSnapshot] | None = None
        now = self._clock()
        for waiting in self.queue():
            if waiting.answer.done() or waiting.not_before > now:
                continue
            if (why_not := blocked.get(waiting.awaits)) is not None:
                waiting.why_not = {**why_not, **waiting.excluded} if waiting.excluded else why_not
                continue
            if (route := self._routes.find_created(waiting.env_id)) is not None:
                self._answer(waiting, route)  # a worker reported it after a restart
                continue
            workers = workers or self._fleet.snapshots()
            found, barred = self._place(waiting, workers)
            if isinstance(found, Placement):
                self._send(waiting, found)
                workers = None
                continue
            waiting.why_not = {
                worker_id: barred.get(worker_id, why) for worker_id, why in found.reasons.items()
            }
            if found.hopeless and not self._wait_for_workers:
                self._fail(waiting, self._hopeless(waiting, workers))
            elif not barred:
                blocked[waiting.awaits] = waiting.why_not

    def tick(self) -> None:
        """Refuse creates that waited too long, place those whose pause is over, give up workers that fell silent."""
        now = self._clock()
        for waiting in self.queue():
            waited_s = now - waiting.since
            if waited_s > self._limit_s(waiting.request):
                self._fail(waiting, no_capacity(f"no slot came free in {waited_s:.0f} s", waiting))
            elif not waiting.callers and not waiting.is_wanted(now):
                self._list.drop(waiting.env_id)
        for waiting in self._list.all():
            self._give_up_if_silent(waiting)
        self._undo_unclaimed()
        self.pump()

    def worker_lost(self, worker_id: str) -> None:
        """Fail what is on the way to a worker whose process is gone; its successor starts without a record."""
        for dispatcher in (self._celery, self._http):
            if dispatcher is not None:
                dispatcher.worker_lost(worker_id)
        self._refusals.forget(worker_id)
        self._full.forget(worker_id)
        for waiting in self._list.all():
            waiting.excluded.pop(worker_id, None)

    def stop(self) -> None:
        """Fail every create that is not answered, and those to come; the next master finds them where they were."""
        self._is_stopping = True
        self._list.freeze()
        for waiting in self._list.all():
            self._fail(waiting, shutting_down())

    def restore(self, facts: Mapping[str, Mapping[str, str]]) -> int:
        """Take back what an earlier master wrote down: those on their way are sent again, to the same worker.

        A worker that has the environment, or opens it, answers with that one.

        Returns:
            How many creates are not answered.
        """
        for waiting, sent_to in self._list.restore(facts, wanted_until=self._clock() + self._return_s):
            if (route := self._routes.find_created(waiting.env_id)) is not None:
                waiting.answer.set_result(route.created())
                self._list.drop(waiting.env_id)
            elif sent_to is not None and not self._fleet.is_silent(sent_to.worker_id):
                self._send(waiting, sent_to)
        self.pump()
        return len(self._list.all())

    def _limit_s(self, request: CreateRequest) -> float:
        return self._queue_timeout_s if request.queue_timeout_s is None else request.queue_timeout_s

    def _admit(self, request: CreateRequest, digest: str) -> Waiting:
        waiting = self._list.add(request, digest)
        self.pump()
        return waiting

    async def _wait(self, waiting: Waiting) -> CreateReply:
        """Wait for the answer. A create that all its clients left loses its place, or is undone when it arrives."""
        waiting.callers += 1
        waiting.wanted_until = 0.0
        try:
            return await asyncio.shield(waiting.answer)
        finally:
            waiting.callers -= 1
            if not waiting.callers and waiting.placement is None and not waiting.answer.done():
                self._list.drop(waiting.env_id)
                self.pump()

    def _place(
        self, waiting: Waiting, workers: Sequence[WorkerSnapshot] | None = None
    ) -> tuple[Placement | Unplaceable, dict[str, str]]:
        """Return where a create can go now, and the workers it must not go to."""
        barred = {**self._refusals.of(waiting.need), **waiting.excluded}
        full = self._full.of(waiting.env_id)
        return place(waiting.need, workers or self._fleet.snapshots(), exclude=barred, full=full), barred

    def _hopeless(self, waiting: Waiting, workers: Sequence[WorkerSnapshot]) -> GymQueueError:
        any_alive = any(worker.status is not WorkerStatus.DEAD for worker in workers)
        could = could_ever(waiting.need, self._fleet.ever_seen())
        return hopeless(waiting, any_alive=any_alive, could_ever=could)

    def _send(self, waiting: Waiting, placement: Placement) -> None:
        self._list.place(waiting, placement, self._fleet.process(placement.worker_id))
        self._routes.reserve(waiting.env_id, placement.worker_id, placement.worker_url)
        task = waiting.task = asyncio.ensure_future(self._dispatch(waiting, placement))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _dispatch(self, waiting: Waiting, placement: Placement) -> None:
        through = self._celery if placement.queue and self._celery else self._http
        with log_ids(**waiting.ids):
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
            except asyncio.CancelledError:
                if waiting.is_given_up:
                    self._failed(waiting, placement, _stopped_answering(waiting, placement))
                    return
                self._routes.release(waiting.env_id)  # the loop is ending
                self._fail(waiting, shutting_down())
                raise

    async def _succeeded(self, waiting: Waiting, reply: CreateReply) -> None:
        env_id = waiting.env_id
        if waiting.is_wanted(self._clock()):
            about = waiting.about()
            self._routes.ready(reply, reserved=env_id, digest=waiting.digest, about=about)
            self._answered(waiting, reply)
            self.pump()
            return
        self._list.drop(env_id)
        self._routes.release(env_id)
        if not self._is_stopping:  # else the environment waits for its client's retry, and the next master
            await self._undo_unwanted(env_id, reply)

    def _answer(self, waiting: Waiting, route: Route) -> None:
        """Answer a create with an environment that a worker has already."""
        self._answered(waiting, route.created())

    def _answered(self, waiting: Waiting, reply: CreateReply) -> None:
        waiting.answer.set_result(reply)
        self._list.drop(waiting.env_id)
        if not waiting.callers:
            self._unclaimed.add(reply, until=waiting.wanted_until, now=self._clock())

    async def _undo_unwanted(self, env_id: str, reply: CreateReply) -> None:
        """Close an environment nobody waits for; no heartbeat brings it back, and a retry of its create waits."""
        for known_as in {env_id, reply.env_id}:
            self._routes.remove(known_as, CLOSED)
        with self._clearing.during(env_id):
            await self._undo(reply)
        self.pump()

    def _undo_unclaimed(self) -> None:
        """Close what was opened after a restart and no client asked for again."""
        for reply, unused_s in self._unclaimed.due(self._clock()):
            task = asyncio.ensure_future(self._undo_if_unused(reply, unused_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _undo_if_unused(self, reply: CreateReply, unused_s: float) -> None:
        if await self._unclaimed.is_unused(reply, unused_s) and self._routes.find(reply.env_id) is not None:
            await self._undo_unwanted(reply.env_id, reply)

    def _give_up_if_silent(self, waiting: Waiting) -> None:
        """Take a create from a worker that has stopped answering, when another one can have it now."""
        placement, task = waiting.placement, waiting.task
        if placement is None or task is None or not self._fleet.is_silent(placement.worker_id):
            return
        if isinstance(self._place(waiting)[0], Placement):
            waiting.is_given_up = True
            task.cancel()

    def _failed(self, waiting: Waiting, placement: Placement, error: GymQueueError) -> None:
        """Try again, or another worker, when that may help, else hand the error on."""
        logger.warning("create on %s failed: %s", placement.worker_id, error)
        env_id = waiting.env_id
        self._routes.release(env_id)
        self._routes.abandon(env_id, placement.worker_id)  # it may still carry the create out
        self._list.place(waiting, None)
        if not waiting.is_wanted(self._clock()):
            self._list.drop(env_id)
            self._routes.remove(env_id, CLOSED)
        elif isinstance(error, BrokerUnavailable):
            waiting.not_before = self._clock() + BROKER_PAUSE_S
            waiting.why_not = {"broker": str(error)}
        elif isinstance(error, NoCapacity):  # it knows its slots better, and may have one in a moment
            self._full.note(placement.worker_id, env_id, error)
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
        waiting.refuse(error)
        self._list.drop(waiting.env_id)


def _stopped_answering(waiting: Waiting, placement: Placement) -> WorkerUnreachable:
    return WorkerUnreachable(
        f"worker {placement.worker_id} stopped answering while it opened {waiting.env_id}"
    )
