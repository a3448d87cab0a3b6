"""Agents that other packages might offer; the tests install them as entry points."""

from __future__ import annotations

import signal
import threading
from typing import ClassVar

from gym_queue.benchmark.agents.base import AgentOptions, AgentTask, AgentTurn


class PlainOptions(AgentOptions):
    """Options of every agent here."""

    turns: int = 3
    """A number."""


class Plain:
    """Never finishes.

    A second paragraph that lists do not show.
    """

    Options = PlainOptions
    wait_between_actions_s = 0.0

    def __init__(self, options: PlainOptions) -> None:
        self.options = options
        self.closed = False

    def start(self, task: AgentTask) -> None:
        self.task = task

    def act(self, observation, *, step: int) -> AgentTurn:
        return AgentTurn([{"keyboard": {"text": "x"}}], note=f"turn {step}")

    def close(self) -> None:
        self.closed = True


class Raising(Plain):
    """Raises at its second turn."""

    def act(self, observation, *, step: int) -> AgentTurn:
        if step == 1:
            raise ZeroDivisionError("no luck")
        return super().act(observation, step=step)


class Exiting(Plain):
    """Calls sys.exit, as libraries for programs do."""

    def start(self, task: AgentTask) -> None:
        raise SystemExit(3)


class Interrupting(Plain):
    """Interrupts the run once, from the task "right" at its second turn; goes on as if nothing happened."""

    def act(self, observation, *, step: int) -> AgentTurn:
        if step == 1 and self.task.task_id == "right":
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return super().act(observation, step=step)


class Meeting(Plain):
    """Goes on only when two attempts are at their first turn at once."""

    barrier: ClassVar[threading.Barrier] = threading.Barrier(2, timeout=30)

    def act(self, observation, *, step: int) -> AgentTurn:
        self.barrier.wait()
        return AgentTurn(done=True)


class Stray:
    """Has no Options."""
