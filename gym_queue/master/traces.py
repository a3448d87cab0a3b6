"""A create as its master sees it, as spans: the call, the wait for a slot, the way to a worker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from gym_queue.master.dispatch import Dispatcher
from gym_queue.master.placement import Placement
from gym_queue.protocol.sessions import CreateReply, CreateRequest
from gym_queue.tracing import NO_TRACING, NOWHERE, Notes, Trace, Tracing, current, trace_of

ENV_ID = "gym_queue.env_id"
WORKER_ID = "gym_queue.worker_id"


class Traces:
    """Ties the spans of one create together, which runs in several tasks. Lives on the master's loop.

    Args:
        tracing: Makes the spans.
        clock: Monotonic seconds.
    """

    def __init__(self, tracing: Tracing = NO_TRACING, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._tracing, self._clock = tracing, clock
        self._asked: dict[str, tuple[Trace, float]] = {}

    @contextmanager
    def creating(self, env_id: str, headers: Mapping[str, str]) -> Iterator[Notes]:
        """Run a call to create an environment in a span, a part of what its caller does."""
        told = {ENV_ID: env_id, "http.request.method": "POST", "http.route": "/envs/create"}
        with self._tracing.span("POST /envs/create", of=trace_of(headers), kind="SERVER", told=told) as notes:
            mine = (current(), self._clock())
            if self._tracing.is_on:
                self._asked.setdefault(env_id, mine)  # who asks again waits for the first one's
            try:
                yield notes
            finally:
                if self._asked.get(env_id) is mine:
                    del self._asked[env_id]

    def traced(self, dispatcher: Dispatcher) -> Dispatcher:
        """Return a dispatcher whose creates are spans."""
        return _Traced(dispatcher, self) if self._tracing.is_on else dispatcher

    async def follow(self, placement: Placement, request: CreateRequest, through: Dispatcher) -> CreateReply:
        """Open an environment in a span, after one of how long it waited for that."""
        env_id = str(request.env_id)
        asked, since = self._asked.get(env_id, (NOWHERE, self._clock()))
        told = {ENV_ID: env_id, WORKER_ID: placement.worker_id}
        with self._tracing.span("wait for a slot", of=asked, ago_s=self._clock() - since, told=told):
            pass  # it ends as the create is sent
        queue = {"messaging.destination.name": placement.queue} if placement.queue else {}
        with self._tracing.span("send create", of=asked, kind="PRODUCER", told={**told, **queue}):
            return await through.open(placement, request)


class _Traced:
    def __init__(self, inner: Dispatcher, traces: Traces) -> None:
        self._inner, self._traces = inner, traces

    async def open(self, placement: Placement, request: CreateRequest) -> CreateReply:
        return await self._traces.follow(placement, request, self._inner)

    def worker_lost(self, worker_id: str) -> None:
        self._inner.worker_lost(worker_id)
