"""What changes, told to whoever listens: server-sent events (HTML standard, section 9.2), made once a second for all."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Receive, Scope, Send

from gym_queue.errors import GymQueueError, MasterRecovering, QuotaExceeded

logger = logging.getLogger(__name__)

TICK_S = 1.0
ALIVE_S = 10.0
"""How often a listener hears that nothing happened, and its rights are looked at."""
SEND_TIMEOUT_S = 10.0
"""How long a listener may take to read what is sent to it; it may come again."""
MOST_LISTENERS = 200
AGES = frozenset({"as_of", "window_s"})
"""Numbers that grow by themselves: they alone are no change."""
HELLO = b"retry: 1000\n\n"
ALIVE = b": alive\n\n"
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)

Check = Callable[[], object]
"""Raises when the one it is about may not listen any more."""


@dataclass(eq=False)
class Listener:
    """One who listens."""

    may: Check
    seen: int
    """The last event that it had."""
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    has_ended: bool = False

    def end(self) -> None:
        """Let its reply come to its end."""
        self.has_ended = True
        self.woken.set()


class LiveFeed:
    """Makes each event once for all who listen, and nothing while nobody does. Lives on the master's loop.

    Args:
        topics: Event → what makes its data, in the order in which they are sent.
        clock: Monotonic seconds.
        most: Listeners at once.
        tick_s: Seconds from one look at the topics to the next.
    """

    def __init__(
        self,
        topics: Mapping[str, Callable[[], dict[str, Any]]],
        *,
        clock: Callable[[], float] = time.monotonic,
        most: int = MOST_LISTENERS,
        tick_s: float = TICK_S,
    ) -> None:
        self._topics, self._clock = topics, clock
        self._most, self._tick_s = most, tick_s
        self._boot = uuid.uuid4().hex[:12]
        self._count = 0
        self._events: dict[str, tuple[int, str, bytes]] = {}
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._checked = 0.0
        self._is_stopping = False

    @property
    def listener_count(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def listen(self, last_event_id: str, may: Check) -> Listener:
        """Take in a listener.

        Args:
            last_event_id: The last event it had, when it listens again; what it has not missed is not sent again.
            may: Raises when it may not listen any more; asked every ten seconds.

        Raises:
            QuotaExceeded: So many listen already.
            MasterRecovering: The master is stopping.
        """
        if self._is_stopping:
            raise MasterRecovering("the master is stopping: try again in a moment", {"retry_after_s": 1})
        if len(self._listeners) >= self._most:
            raise QuotaExceeded(
                f"{self._most} listen to /api/live already: close a page of the dashboard, or read /api/overview",
                {"retry_after_s": 10},
            )
        if self._task is None:
            self._checked = self._clock()
            self.refresh()  # nobody has looked since the last one left
            self._task = asyncio.ensure_future(self._run())
        listener = Listener(may, self._seen(last_event_id))
        self._listeners.add(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Let a listener go."""
        self._listeners.discard(listener)
        if not self._listeners and self._task is not None:
            self._task.cancel()
            self._task = None

    def news(self, listener: Listener) -> bytes:
        """Return the events that a listener has not had; it has them now."""
        new = [event for number, _state, event in self._events.values() if number > listener.seen]
        listener.seen = self._count
        return b"".join(new)

    def refresh(self) -> bool:
        """Look at every topic; return whether any has changed."""
        before = self._count
        for topic, make in self._topics.items():
            data = make()
            state = json.dumps({name: value for name, value in data.items() if name not in AGES})
            if topic not in self._events or self._events[topic][1] != state:
                self._count += 1
                event = f"event: {topic}\nid: {self._boot}-{self._count}\ndata: {json.dumps(data)}\n\n"
                self._events[topic] = self._count, state, event.encode()
        return self._count > before

    def stop(self) -> None:
        """End every reply: a server waits for them before it ends."""
        self._is_stopping = True
        for listener in list(self._listeners):
            listener.end()

    def reply(self, listener: Listener) -> LiveReply:
        """Return the response that tells a listener everything."""
        return LiveReply(self, listener)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._tick_s)
            try:
                self._tick()
            except Exception:
                logger.exception("the live feed failed, which is a bug; it goes on all the same")

    def _tick(self) -> None:
        now = self._clock()
        is_due = now - self._checked >= ALIVE_S
        if is_due:
            self._checked = now
            self._end_those_who_may_not()
        has_changed = self.refresh()
        for listener in self._listeners if has_changed or is_due else ():
            listener.woken.set()

    def _end_those_who_may_not(self) -> None:
        for listener in list(self._listeners):
            try:
                listener.may()
            except GymQueueError as error:
                logger.info("a listener of /api/live is let go: %s", error)
                listener.end()

    def _seen(self, last_event_id: str) -> int:
        boot, _, number = last_event_id.rpartition("-")
        is_ours = boot == self._boot and number.isascii() and number.isdigit() and len(number) < 19
        return int(number) if is_ours and int(number) <= self._count else 0


class LiveReply:
    """A response that goes on until its listener leaves, or must.

    Args:
        feed: What is told.
        listener: Whom.
    """

    def __init__(self, feed: LiveFeed, listener: Listener) -> None:
        self._feed, self._listener = feed, listener

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  ASGI's
        """Serve one listener."""
        gone = asyncio.ensure_future(_until_gone(receive))
        gone.add_done_callback(lambda _done: self._listener.end())
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
            await self._tell(send)
        except TimeoutError:
            logger.info("a listener of /api/live reads too slowly, and is let go")
        finally:
            gone.cancel()
            self._feed.leave(self._listener)

    async def _tell(self, send: Send) -> None:
        listener, body = self._listener, HELLO + self._feed.news(self._listener)
        while not listener.has_ended:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await listener.woken.wait()
            listener.woken.clear()
            body = self._feed.news(listener) or ALIVE
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
