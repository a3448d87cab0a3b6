"""One attempt: an agent, in an environment, at a task; and what became of it."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from gym_queue.errors import ActionInvalid, AgentFailed, AgentTimeout, Cancelled


class Key(NamedTuple):
    """Which attempt of a run."""

    env: str
    """Name of the env folder."""
    task_id: str
    repeat: int = 0
    """Which of the task's attempts, from 0."""


AGENTS_OWN = frozenset({AgentFailed.code, AgentTimeout.code, ActionInvalid.code})
"""Codes of errors that are the agent's: such an attempt counts as not passed."""

STEP_LIMIT = "step_limit"
"""Reason of an attempt that the run's own limit of steps ended."""


class Outcome(Enum):
    """How an attempt ended."""

    PASSED = "passed"  # judged, and the task is done
    FAILED = "failed"  # judged, and it is not
    ERROR = "error"  # not judged: the machinery or the agent broke


class AttemptError(BaseModel):
    """Why an attempt was not judged."""

    model_config = ConfigDict(frozen=True)

    code: str
    """A code of errors.py."""
    message: str


class Timings(BaseModel):
    """Where the time of a try went, in seconds; what is not named here is the benchmark's own."""

    model_config = ConfigDict(frozen=True)

    starting: float = 0.0
    """Making the agent and starting it, before there is an environment."""
    creating: float = 0.0
    """From the create to the environment: the wait for a free slot and its start."""
    resetting: float = 0.0
    acting: float = 0.0
    """In the agent's turns."""
    stepping: float = 0.0
    """In the environment's steps, the verifier's time included."""
    closing: float = 0.0


class Attempt(BaseModel):
    """What became of one attempt."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    repeat: int = 0
    """Which of the task's attempts, from 0."""
    env: str = ""
    """Name of the env folder; empty in results of old runs."""
    seed: int | None = None
    """Of its reset."""
    outcome: Outcome
    score: float | None = None
    """0 to 100; None when it was not judged."""
    reward: float | None = None
    """Sum over the episode; None when it was not judged."""
    steps: int = 0
    refused: int = 0
    """Turns whose actions the environment refused."""
    seconds: float = 0.0
    """From the agent's start to the environment's close."""
    timings: Timings | None = None
    """Where they went; None in results of old runs, and of an attempt whose process died."""
    reason: str | None = None
    """Why the episode ended: what the environment says, or STEP_LIMIT."""
    feedback: str = ""
    """The verifier's words."""
    usage: dict[str, float] = Field(default_factory=dict)
    """What the agent says it used, over all tries: ``input_tokens``, ``output_tokens``, ``cost_usd``, .."""
    error: AttemptError | None = None
    lost: tuple[AttemptError, ...] = ()
    """Why tries were lost to the infrastructure, in order; the last one's is ``error`` too when all were."""
    env_id: str | None = None
    worker_id: str | None = None
    """None for an environment of this machine."""

    @property
    def key(self) -> Key:
        """Which attempt of its run it is."""
        return Key(self.env, self.task_id, self.repeat)

    @property
    def is_scored(self) -> bool:
        """Whether it says something of the agent: it was judged, or the agent itself broke it."""
        return self.error is None or self.error.code in AGENTS_OWN

    @property
    def is_cancelled(self) -> bool:
        """Whether the end of the run cut it short: then it is no result at all."""
        return self.error is not None and self.error.code == Cancelled.code
