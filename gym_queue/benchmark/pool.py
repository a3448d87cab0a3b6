"""Several attempts at once, and a clean end when they are interrupted."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from gym_queue.benchmark.attempt import Attempt, AttemptSetup, Key, run_attempt
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
        keep: Called with each attempt that ended, in its own thread, before anything else hears of it.
    """

    def __init__(
        self, setup: AttemptSetup, parallel: int, keep: Callable[[Attempt], None] = lambda _: None
    ) -> None:
        self._setup = setup
        self._parallel = parallel
        self._keep = keep
        self._events: queue.SimpleQueue[Event | BaseException] = queue.SimpleQueue()
        self._attempts: dict[Key, Attempt] = {}

    @property
    def attempts(self) -> dict[Key, Attempt]:
        """The attempts that ended, in the order they ended."""
        return dict(self._attempts)

    def run(self, keys: Sequence[Key], on_event: OnEvent) -> None:
        """Run the attempts; ``attempts`` holds them all afterwards.

        Args:
            keys: Which, each once.
            on_event: Told what happens, in this thread.

        Raises:
            KeyboardInterrupt: As it came, after the open environments were closed.
            OutputFailed: An attempt could not be recorded or kept; likewise.
        """
        waiting = deque(keys)
        size = min(self._parallel, len(keys))
        threads = [
            threading.Thread(target=self._work, args=(waiting,), name=f"attempts-{index}", daemon=True)
            for index in range(size)
        ]
        try:
            for thread in threads:
                thread.start()
            while len(self._attempts) < len(keys):
                on_event(self._take(self._events.get()))
        except BaseException:
            self._cancel(threads)
            raise

    def _take(self, event: Event | BaseException) -> Event:
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, Ended):
            self._attempts[event.attempt.task_id, event.attempt.repeat] = event.attempt
        return event

    def _cancel(self, threads: Sequence[threading.Thread]) -> None:
        _join(self._setup.envs.cancel(), timeout_s=CANCEL_TIMEOUT_S)
        _join(threads, timeout_s=UNWIND_TIMEOUT_S)
        while not self._events.empty():
            event = self._events.get()
            if not isinstance(event, BaseException):
                self._take(event)

    def _work(self, waiting: deque[Key]) -> None:
        try:
            while not self._setup.envs.is_cancelled and (key := _next(waiting)) is not None:
                self._events.put(Started(*key))
                attempt = self._attempt(*key)
                self._keep(attempt)
                self._events.put(Ended(attempt))
        except BaseException as error:  # noqa: BLE001  raised in the thread that waits for this one
            self._events.put(error)

    def _attempt(self, task_id: str, repeat: int) -> Attempt:
        def on_step(steps: int) -> None:
            self._events.put(Stepped(task_id, steps, repeat))

        return run_attempt(task_id, self._setup, on_step=on_step, repeat=repeat)


def _next(waiting: deque[Key]) -> Key | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def _join(threads: Sequence[threading.Thread], *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    for thread in threads:
        if thread.ident is not None:  # an interrupt may have come before it was started
            thread.join(max(deadline - time.monotonic(), 0.0))
