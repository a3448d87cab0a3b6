"""Agents that other packages might offer; the tests install them as entry points."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr

from gym_queue.benchmark.agents.base import AgentOptions, AgentTask, AgentTurn, EnvPlace
from gym_queue.errors import ModelDenied

NONSENSE = {
    "None": None,
    "a text": "click",
    "a text for actions": AgentTurn("click"),  # type: ignore[arg-type]
    "an action that is none": AgentTurn([7]),  # type: ignore[list-item]
    "no boolean": AgentTurn(done="yes"),  # type: ignore[arg-type]
    "no number": AgentTurn([{"mouse": {"left_click": [float("nan"), 1]}}]),
    "no JSON": AgentTurn([{"keyboard": {"text": object()}}]),
}


class PlainOptions(AgentOptions):
    """Options of every agent here."""

    turns: int = 3
    """A number."""
    pid: int = 0
    """A process to interrupt."""
    port: int = 0
    """Where to meet."""
    mark: Path = Path()
    """A file that tells a first try from later ones."""
    answer: str = ""
    """Of NONSENSE."""
    key: SecretStr = SecretStr("")
    """A secret."""


class Plain:
    """Never finishes.

    A second paragraph that lists do not show.
    """

    Options = PlainOptions

    def __init__(self, options: PlainOptions) -> None:
        self.options = options
        self.closed = False

    def start(self, task: AgentTask) -> None:
        self.task = task

    def act(self, observation, *, step: int) -> AgentTurn:
        return AgentTurn([{"keyboard": {"text": "x"}}], note=f"turn {step}")

    def close(self) -> None:
        self.closed = True

    def first_time(self) -> bool:
        is_first = not self.options.mark.exists()
        self.options.mark.touch()
        return is_first


class Counting(Plain):
    """Says what it used."""

    usage: ClassVar = {"input_tokens": 7, "model": "x", "cost_usd": 0.5}


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


class Leaving(Plain):
    """Ends its process in its turn."""

    def act(self, observation, *, step: int) -> AgentTurn:
        os._exit(3)


class Crashing(Plain):
    """Has a bug in its C part."""

    def act(self, observation, *, step: int) -> AgentTurn:
        os.kill(os.getpid(), signal.SIGSEGV)
        return AgentTurn()


class Killed(Plain):
    """Is killed from outside in its first try; leaves a process behind."""

    def act(self, observation, *, step: int) -> AgentTurn:
        if self.first_time():
            left = subprocess.Popen(["sleep", "300"])
            self.options.mark.write_text(f"{os.getpid()} {left.pid}")
            os.kill(os.getpid(), signal.SIGKILL)
        return AgentTurn(done=True)


class Hanging(Plain):
    """Waits for what never comes, in the task "right"."""

    def act(self, observation, *, step: int) -> AgentTurn:
        if self.task.task_id == "right":
            threading.Event().wait()
        return AgentTurn(done=True)


class Printing(Plain):
    """Prints, as people's agents do; and says what it knows of its environment."""

    def located(self, place: EnvPlace) -> None:
        sys.stdout.write(f"located {place.env_id} {place.remote_url}\n")

    def act(self, observation, *, step: int) -> AgentTurn:
        sys.stdout.write("hello\n")
        sys.stderr.write("oh no\n")
        os.write(1, b"raw\n")
        sys.stdout.write(f"key {self.options.key.get_secret_value() == 's3cret'}\n")
        return AgentTurn(done=True)


class Nonsense(Plain):
    """Answers no turn, or one that says nothing."""

    def act(self, observation, *, step: int) -> AgentTurn:
        return NONSENSE[self.options.answer]  # type: ignore[return-value]


class Corrected(Nonsense):
    """Says nonsense once, is told so, and mends it."""

    told = ""

    def refused(self, error) -> None:
        self.told = str(error)

    def act(self, observation, *, step: int) -> AgentTurn:
        return AgentTurn(done=True) if self.told else super().act(observation, step=step)


class Denied(Plain):
    """Is denied its model, in the task "right" or "wrong" by the option."""

    def act(self, observation, *, step: int) -> AgentTurn:
        if self.task.task_id == self.options.answer:
            raise ModelDenied("the key is used up")
        return AgentTurn(done=True)


class Interrupting(Plain):
    """Interrupts the run from the task "right" at its second turn; goes on as if nothing happened."""

    def act(self, observation, *, step: int) -> AgentTurn:
        if step == 1 and self.task.task_id == "right":
            os.kill(self.options.pid, signal.SIGINT)
        return super().act(observation, step=step)


class Meeting(Plain):
    """Says by a connection that it is at its first turn, and goes on when the other side hangs up."""

    def act(self, observation, *, step: int) -> AgentTurn:
        with socket.create_connection(("127.0.0.1", self.options.port)) as waiting:
            waiting.recv(1)
        return AgentTurn(done=True)


class Stray:
    """Has no Options."""
