"""Creates that wait, are on their way, or were cancelled: queue, placement, dispatch, re-send."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gym_queue.errors import Cancelled, GymQueueError, Infrastructure, NoCapacity, RequestInvalid
from gym_queue.log import log_ids
from gym_queue.master.dispatch import Dispatcher
from gym_queue.master.fleet import Fleet, reply_of
from gym_queue.master.placement import Need, Placement, Unplaceable, need_of, place
from gym_queue.master.routes import Routes, RouteState
from gym_queue.names import RUNNERS
from gym_queue.protocol.sessions import CreateReply, CreateRequest

logger = logging.getLogger(__name__)

MAX_SENDS = 3
"""Workers a create is tried on before its error is final."""
RETRY_AFTER_S = 5.0


@dataclass(slots=True)
class Waiting:
    """A create that has not been answered; only Creates changes it."""

    request: CreateRequest
    need: Need
    order: tuple[int, int]
    """Sorts by priority, then arrival."""
    since: float
    answer: asyncio.Future[CreateReply]
    excluded: dict[str, str] = field(default_factory=dict)
    """Workers that failed it, and how."""
    placement: Placement | None = None
    """Where it is on its way to; None while it waits."""
    why_not: dict[str, str] = field(default_factory=dict)
    callers: int = 0
    """Clients that wait for the answer."""

    @property
    def env_id(self) -> str:
        """The environment's id."""
        return str(self.request.env_id)


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
        self._arrivals = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def create(self, request: CreateRequest) -> CreateReply:
        """Place, dispatch and route an environment; the same id again gets the same environment.

        Raises:
            NoCapacity: No worker could take it in time, or none that is here ever could.
            GymQueueError: What the worker raised.
        """
        check_request(request)
        if request.env_id is None:
            request = request.model_copy(update={"env_id": str(uuid.uuid4())})
        route = self._routes.find(str(request.env_id))
        if route is not None and route.state is RouteState.READY:
            return reply_of(route.reply, route.env_id, route.worker_id, route.worker_url)
        waiting = self._creates.get(str(request.env_id)) or self._admit(request)
        waiting.callers += 1
        try:
            return await asyncio.shield(waiting.answer)
        except asyncio.CancelledError:
            if waiting.callers == 1:
                self.cancel(waiting.env_id)
            raise
        finally:
            waiting.callers -= 1

    def cancel(self, env_id: str) -> bool:
        """Give up a create; one that is on its way is undone when it arrives.

        Returns:
            Whether there was one.
        """
        waiting = self._creates.get(env_id)
        if waiting is None:
            return False
        if not waiting.answer.done():
            waiting.answer.set_exception(Cancelled(f"the create of environment {env_id} was cancelled"))
            waiting.answer.exception()  # it may have no reader left
        if waiting.placement is None:
            self._creates.pop(env_id, None)
        return True

    def queue(self) -> list[Waiting]:
        """Return the creates that wait for a slot, first to be served first."""
        return sorted((w for w in self._creates.values() if w.placement is None), key=lambda w: w.order)

    def find(self, env_id: str) -> Waiting | None:
        """Return a create that has not been answered."""
        return self._creates.get(env_id)

    def pump(self) -> None:
        """Place whatever can be placed: by priority, then arrival, each capability apart."""
        blocked: set[str] = set()
        for waiting in self.queue():
            if waiting.need.capability in blocked or waiting.answer.done():
                continue
            found = place(waiting.need, self._fleet.snapshots(), exclude=waiting.excluded)
            if isinstance(found, Placement):
                self._send(waiting, found)
                continue
            waiting.why_not = {**found.reasons, **waiting.excluded}
            if found.hopeless:
                self._fail(waiting, self._hopeless(waiting, found))
            else:
                blocked.add(waiting.need.capability)

    def tick(self) -> None:
        """Refuse creates that waited too long."""
        for waiting in self.queue():
            limit_s = waiting.request.queue_timeout_s
            waited_s = self._clock() - waiting.since
            if waited_s > (self._queue_timeout_s if limit_s is None else limit_s):
                self._fail(waiting, _no_capacity(f"no slot came free in {waited_s:.0f} s", waiting))

    def stop(self) -> None:
        """Fail every create that is not answered."""
        for waiting in list(self._creates.values()):
            self._fail(waiting, NoCapacity("the master is shutting down", {"retry_after_s": RETRY_AFTER_S}))

    def _admit(self, request: CreateRequest) -> Waiting:
        order = (-request.priority, next(self._arrivals))
        answer: asyncio.Future[CreateReply] = asyncio.get_running_loop().create_future()
        waiting = Waiting(request, need_of(request), order, self._clock(), answer)
        self._creates[waiting.env_id] = waiting
        self.pump()
        return waiting

    def _send(self, waiting: Waiting, placement: Placement) -> None:
        waiting.placement = placement
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
            except GymQueueError as error:
                self._routes.release(waiting.env_id)
                self._failed(waiting, placement, error)
            except BaseException:
                self._routes.release(waiting.env_id)
                self._fail(
                    waiting, GymQueueError("the master failed on this create: its log has the details")
                )
                raise
            else:
                await self._succeeded(waiting, reply.model_copy(update={"queued_s": round(queued_s, 4)}))

    async def _succeeded(self, waiting: Waiting, reply: CreateReply) -> None:
        self._creates.pop(waiting.env_id, None)
        if waiting.answer.done():
            self._routes.release(waiting.env_id)
            await self._undo(reply)
            self._fleet.on_change()
            return
        self._routes.ready(reply)
        waiting.answer.set_result(reply)

    def _failed(self, waiting: Waiting, placement: Placement, error: GymQueueError) -> None:
        """Try another worker when that may help, else hand the error on."""
        logger.warning("create on %s failed: %s", placement.worker_id, error)
        waiting.placement = None
        waiting.excluded[placement.worker_id] = f"failed this create: {error}"
        others = [w for w in self._fleet.snapshots() if w.worker_id not in waiting.excluded]
        again = isinstance(error, Infrastructure) and error.retryable and len(waiting.excluded) < MAX_SENDS
        if waiting.answer.done():
            self._creates.pop(waiting.env_id, None)
        elif not (again and others):
            self._fail(waiting, error)
        self._fleet.on_change()

    def _fail(self, waiting: Waiting, error: GymQueueError) -> None:
        self._creates.pop(waiting.env_id, None)
        if not waiting.answer.done():
            waiting.answer.set_exception(error)
            waiting.answer.exception()  # its client may have left already

    def _hopeless(self, waiting: Waiting, found: Unplaceable) -> NoCapacity:
        if not found.reasons:
            return _no_capacity(
                "no worker is registered: start one with gym-anything-worker --master-url", waiting
            )
        need = " or ".join(sorted(waiting.need.runners)) or "any"
        return _no_capacity(f"no worker of this fleet can ever take it (runner: {need})", waiting)


def check_request(request: CreateRequest) -> None:
    """Refuse a create that names a runner nobody knows.

    Raises:
        RequestInvalid: The runner is unknown.
    """
    if request.runner is not None and request.runner not in RUNNERS:
        raise RequestInvalid(f"the runner {request.runner!r} is unknown: known are {', '.join(RUNNERS)}")


def _no_capacity(what: str, waiting: Waiting) -> NoCapacity:
    reasons = "; ".join(f"{worker_id}: {why}" for worker_id, why in list(waiting.why_not.items())[:5])
    return NoCapacity(
        f"{what}{' (' + reasons + ')' if reasons else ''}",
        {"retry_after_s": RETRY_AFTER_S, "unplaceable": waiting.why_not},
    )
