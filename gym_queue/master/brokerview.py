"""The broker as the master sees it: its queues, how much waits in them, and who takes it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import celery

from gym_queue.broker.lengths import queue_lengths
from gym_queue.broker.replies import reply_queue
from gym_queue.broker.url import safe_url
from gym_queue.errors import BrokerUnavailable
from gym_queue.master.fleet import Fleet
from gym_queue.master.state import Place
from gym_queue.protocol.fleet import WorkerStatus

logger = logging.getLogger(__name__)

KEPT_S = 2.0
"""How long an answer is given again."""
DEADLINE_S = 3.0
"""Longest a caller waits for the broker."""

Lengths = dict[str, int | None]
Ask = Callable[[Sequence[str]], Lengths]
"""Names of queues → their lengths; blocks, and raises BrokerUnavailable."""


def kind_of(url: str, *, is_embedded: bool) -> str:
    """Return what a broker is: embedded, redis or amqp."""
    if is_embedded:
        return "embedded"
    return "amqp" if url.startswith(("amqp", "pyamqp")) else "redis"


@contextmanager
def broker_view(
    app: celery.Celery, url: str, place: Place, fleet: Fleet, *, is_embedded: bool
) -> Iterator[BrokerView]:
    """Yield a view of a master's broker, which asks nothing more after the block."""
    view = BrokerView(
        partial(queue_lengths, app, timeout_s=DEADLINE_S),
        fleet,
        url=safe_url(url),
        kind=kind_of(url, is_embedded=is_embedded),
        others=(reply_queue(place.name), str(app.conf.task_default_queue)),
    )
    try:
        yield view
    finally:
        view.close()


class BrokerView:
    """Asks the broker on a thread of its own, one question at a time, and only when somebody looks.

    Args:
        ask: Asks for the lengths of queues.
        fleet: Whose queues there are.
        url: The broker's, without user and password.
        kind: What it is.
        others: Queues that are not of workers.
        deadline_s: Longest a caller waits for the broker.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        ask: Ask,
        fleet: Fleet,
        *,
        url: str,
        kind: str,
        others: Sequence[str] = (),
        deadline_s: float = DEADLINE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask, self._fleet = ask, fleet
        self._url, self._kind, self._others = url, kind, tuple(others)
        self._deadline_s, self._clock = deadline_s, clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="gym-queue-broker-view")
        self._question: asyncio.Future[Lengths] | None = None
        self._shown: tuple[float, dict[str, Any]] | None = None

    async def look(self) -> dict[str, Any]:
        """Return what ``/api/broker`` shows; a broker that is away is shown as such."""
        if self._shown is not None and self._clock() - self._shown[0] < KEPT_S:
            return self._shown[1]
        consumers = self._consumers()
        lengths, error = await self._lengths([*consumers, *self._others])
        shown = {
            "as_of": time.time(),
            "ok": error is None,
            "error": error,
            "url": self._url,
            "kind": self._kind,
            "queues": [
                {"name": name, "length": lengths.get(name), "consumers": workers, "runner": _runner(name)}
                for name, workers in sorted(consumers.items())
            ],
            "others": [{"name": name, "length": lengths.get(name)} for name in self._others],
        }
        self._shown = self._clock(), shown
        return shown

    def close(self) -> None:
        """Ask nothing more; waits for no hung broker."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _lengths(self, names: Sequence[str]) -> tuple[Lengths, str | None]:
        """Return the lengths, and why there are none."""
        if self._question is None:
            self._question = asyncio.get_running_loop().run_in_executor(self._thread, self._ask, names)
            self._question.add_done_callback(self._forget)
        question = self._question
        await asyncio.wait([question], timeout=self._deadline_s)
        if not question.done():
            return (
                {},
                f"the broker {self._url} has not answered for {self._deadline_s:g} s: is it overloaded or cut off?",
            )
        try:
            return question.result(), None
        except BrokerUnavailable as error:
            return {}, str(error)
        except Exception:
            logger.exception("the broker could not be asked for its queues, which is a bug")
            return {}, "the master failed on this question: its log has the details"

    def _forget(self, question: asyncio.Future[Lengths]) -> None:
        self._question = None
        if not question.cancelled():
            question.exception()  # whoever asked may have stopped waiting

    def _consumers(self) -> dict[str, list[str]]:
        """Return each worker's queues, and who takes from them: of a dead worker, nobody."""
        found: dict[str, list[str]] = {}
        for worker in self._fleet.snapshots():
            for name in worker.queues:
                takers = found.setdefault(name, [])
                if worker.status is not WorkerStatus.DEAD:
                    takers.append(worker.worker_id)
        return found


def _runner(queue: str) -> str | None:
    """Return the runner of a queue ``env.<runner>.<worker id>``."""
    parts = queue.split(".", 2)
    return parts[1] if len(parts) == 3 and parts[0] == "env" else None
