"""Several attempts at once, and a clean end when they are interrupted."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence

from gym_queue.benchmark.attempt import Attempt, AttemptSetup, run_attempt
from gym_queue.benchmark.events import Ended, Event, OnEvent, Started, Stepped

CANCEL_TIMEOUT_S = 30.0
"""Longest that a cancelled run waits for its environments to close."""
UNWIND_TIMEOUT_S = 5.0
"""Longest that it then waits for its attempts: one may wait for a free slot, or for a model's answer."""


class AttemptPool:
    """Runs attempts in threads. Daemons, so that one stuck in a call cannot keep the program alive.

    Args:
        setup: What the attempts share.
        parallel: Attempts at once.
    """

    def __init__(self, setup: AttemptSetup, parallel: int) -> None:
        self._setup = setup
        self._parallel = parallel
        self._events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._attempts: dict[str, Attempt] = {}

    @property
    def attempts(self) -> dict[str, Attempt]:
        """The attempts that ended, by task id, in the order they ended."""
        return dict(self._attempts)

    def run(self, task_ids: Sequence[str], on_event: OnEvent) -> None:
        """Run an attempt at each task; ``attempts`` holds them all afterwards.

        Args:
            task_ids: The tasks, each once.
            on_event: Told what happens, in this thread.

        Raises:
            KeyboardInterrupt: As it came, after the open environments were closed.
        """
        waiting = deque(task_ids)
        size = min(self._parallel, len(task_ids))
        threads = [
            threading.Thread(target=self._work, args=(waiting,), name=f"attempts-{index}", daemon=True)
            for index in range(size)
        ]
        try:
            for thread in threads:
                thread.start()
            while len(self._attempts) < len(task_ids):
                on_event(self._take(self._events.get()))
        except BaseException:
            self._cancel(threads)
            raise

    def _take(self, event: Event | BaseException) -> Event:
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, Ended):
            self._attempts[event.attempt.task_id] = event.attempt
        return event

    def _cancel(self, threads: Sequence[threading.Thread]) -> None:
        _join(self._setup.envs.cancel(), timeout_s=CANCEL_TIMEOUT_S)
        _join(threads, timeout_s=UNWIND_TIMEOUT_S)
        while not self._events.empty():
            event = self._events.get()
            if not isinstance(event, BaseException):
                self._take(event)

    def _work(self, waiting: deque[str]) -> None:
        try:
            while not self._setup.envs.is_cancelled and (task_id := _next(waiting)) is not None:
                self._events.put(Started(task_id))
                self._events.put(Ended(self._attempt(task_id)))
        except BaseException as error:  # noqa: BLE001  raised in the thread that waits for this one
            self._events.put(error)

    def _attempt(self, task_id: str) -> Attempt:
        def on_step(steps: int) -> None:
            self._events.put(Stepped(task_id, steps))

        return run_attempt(task_id, self._setup, on_step=on_step)


def _next(waiting: deque[str]) -> str | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _join(threads: Sequence[threading.Thread], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        if thread.ident is not None:  # an interrupt may have come before it was started
            thread.join(max(deadline - time.monotonic(), 0.0))
