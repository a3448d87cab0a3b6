"""What an agent is to the benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict

from gym_queue.errors import RequestInvalid
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.task import TaskSpec


class AgentOptions(BaseModel):
    """Base of an agent's ``Options``: frozen, unknown names refused, a docstring under each field."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


@dataclass(frozen=True, slots=True)
class AgentTask:
    """What an agent is to do."""

    task_id: str
    """The name of the task's folder."""
    env: EnvSpec
    task: TaskSpec
    env_dir: Path
    description: str
    """What the agent is told."""
    seed: int


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """What an agent does with one observation."""

    actions: Sequence[dict[str, Any]] = ()
    """Injected in order; see ``protocol.actions``."""
    done: bool = False
    """The agent is finished: the attempt ends after these actions and is judged."""
    note: str = ""
    """Kept in the trajectory beside the step."""


@dataclass(frozen=True, slots=True)
class EnvPlace:
    """Where the environment of an attempt is."""

    env_id: str
    """Its id: what the dashboard and the logs call it."""
    remote_url: str | None
    """The master or worker that it was opened at; None when it is in this process."""


@runtime_checkable
class Located(Protocol):
    """An agent that is told where its environment is."""

    def located(self, place: EnvPlace) -> str | None:
        """Take note of it. Called once, after the environment was opened and before its reset.

        Returns:
            A line for whoever runs the benchmark; None when there is nothing to say.
        """


@runtime_checkable
class Corrigible(Protocol):
    """An agent that can be told that its turn was refused; without this, that ends the attempt as an error."""

    def refused(self, error: RequestInvalid) -> None:
        """Take note that none of the last turn's actions was carried out. ``act`` comes next, as after any step.

        Args:
            error: What is wrong with them: a key that the environment does not have, a point off the screen.
        """


class Agent(Protocol):
    """One attempt's agent; made anew for each, used by one thread.

    Its class is called with an instance of its own ``Options``, a subclass of AgentOptions. A GymQueueError that
    it raises is the attempt's error as it is; anything else it raises becomes AgentFailed.

    Beside what is here a class may have: ``check(options)``, a static method that raises RequestInvalid before a run in
    which the agent could not work; ``needs``, a text for people about what it takes; ``usage``, a mapping of what was
    used to numbers, for the attempt's record; ``needs_cluster``, true of one that works with --remote-url alone;
    ``wait_between_actions_s``, seconds between two actions of one turn, 0 without it; ``refused``, see Corrigible; and
    ``located``, see Located.
    """

    def start(self, task: AgentTask) -> None:
        """Get ready for a task. Called once, before the environment is opened."""

    def act(self, observation: dict[str, Any], *, step: int) -> AgentTurn:
        """Return what to do next.

        Args:
            observation: As GymEnv.reset and step return it.
            step: Index of the coming step, from 0.
        """

    def close(self) -> None:
        """Let go of everything. Called once, however the attempt ended."""
