"""One attempt: an agent, in an environment, at a task, until it is judged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gym_queue.benchmark.agents.base import Agent, AgentTask, AgentTurn, Corrigible
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.benchmark.recorder import NoRecorder, Recorder
from gym_queue.errors import (
    ActionInvalid,
    AgentFailed,
    Cancelled,
    EnvLost,
    GymQueueError,
    Infrastructure,
    ModelDenied,
    NotSupported,
    OutputFailed,
    RunnerUnavailable,
    VerifierFailed,
)
from gym_queue.log import log_ids
from gym_queue.protocol.surface import GymEnv
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import load_task

logger = logging.getLogger(__name__)

Key = tuple[str, int]
"""Task id and repeat of an attempt."""
AGENTS_OWN = frozenset({AgentFailed.code, ActionInvalid.code})
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
    seconds: float = 0.0
    """From the agent's start to the environment's close."""
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
    """None for an environment of this process."""

    @property
    def is_scored(self) -> bool:
        """Whether it says something of the agent: it was judged, or the agent itself broke it."""
        return self.error is None or self.error.code in AGENTS_OWN


@dataclass(frozen=True, slots=True)
class AttemptSetup:
    """What the attempts of a run share."""

    env_dir: Path
    env: EnvSpec
    envs: OpenEnvs
    make_agent: Callable[[], Agent]
    seed: int = 0
    steps: int | None = None
    """Steps after which an attempt is ended and judged; None leaves it to the task's own limit."""
    lost_retries: int = 0
    """How often an attempt that was lost to the infrastructure is run again."""
    clock: Callable[[], float] = time.monotonic
    record: Callable[[str, int], Recorder] = NoRecorder
    """Makes what keeps a try, by task id and repeat."""


@dataclass(slots=True)
class _Course:
    """What is known of an attempt while it runs, and remains when it breaks."""

    on_step: Callable[[int], None]
    recorder: Recorder
    seed: int
    ids: dict[str, str | None] = field(default_factory=dict)
    steps: int = 0
    reward: float = 0.0
    usage: dict[str, float] = field(default_factory=dict)


def run_attempt(
    task_id: str, setup: AttemptSetup, *, on_step: Callable[[int], None], repeat: int = 0
) -> Attempt:
    """Run one attempt to its end, and again from its start while it is lost to the infrastructure.

    Args:
        task_id: The name of the task's folder.
        setup: What the attempts of the run share.
        on_step: Called after each step with the number of steps so far.
        repeat: Which of the task's attempts, from 0.

    Returns:
        What became of the last try; whatever broke is its error.

    Raises:
        OutputFailed: It cannot be recorded.
    """
    lost: list[AttemptError] = []
    usage: dict[str, float] = {}
    with log_ids(task_id=task_id):
        while True:
            attempt, is_lost = _try(task_id, repeat, setup, on_step)
            for name, number in attempt.usage.items():
                usage[name] = usage.get(name, 0) + number
            if is_lost and attempt.error is not None:
                lost.append(attempt.error)
            if not is_lost or len(lost) > setup.lost_retries:
                return attempt.model_copy(update={"lost": tuple(lost), "usage": usage})
            logger.warning("attempt lost to the infrastructure, run again: %s", lost[-1].message)


def _try(
    task_id: str, repeat: int, setup: AttemptSetup, on_step: Callable[[int], None]
) -> tuple[Attempt, bool]:
    """Return what became of one try, and whether the infrastructure lost it."""
    names = {"task_id": task_id, "repeat": repeat, "env": setup.env_dir.name}
    with setup.record(task_id, repeat) as recorder:
        course = _Course(on_step, recorder, setup.seed + repeat)
        started, (result, is_lost) = setup.clock(), _outcome(task_id, setup, course)
        known = {"seed": course.seed, "steps": course.steps, "usage": course.usage}
        seconds = setup.clock() - started
        attempt = Attempt(**names, **known, seconds=seconds, **course.ids, **result)
        recorder.judge(attempt.model_dump(mode="json", exclude={"lost"}))
    return attempt, is_lost


def _outcome(task_id: str, setup: AttemptSetup, course: _Course) -> tuple[dict[str, Any], bool]:
    is_lost = False
    result: dict[str, Any]
    try:
        result = _judged(_play(task_id, setup, course), task_id) | {"reward": course.reward}
    except (ModelDenied, OutputFailed):  # no other attempt would go better: the run stops, and can be resumed
        raise
    except Exception as error:  # noqa: BLE001  logged and counted in _broken: the other attempts go on
        is_cancelled = setup.envs.is_cancelled
        is_lost = _is_lost(error) and not is_cancelled
        result = _broken(error, is_cancelled=is_cancelled)
    return result, is_lost


def _is_lost(error: Exception) -> bool:
    """Whether the machinery broke, so that another try may go better: a runner that nobody has is not found by trying."""
    return isinstance(error, (EnvLost, Infrastructure)) and not isinstance(error, RunnerUnavailable)


def _play(task_id: str, setup: AttemptSetup, course: _Course) -> dict[str, Any]:
    """Return the ``info`` of the step that ended the episode."""
    spec = load_task(setup.env_dir, task_id)
    task = AgentTask(task_id, setup.env, spec, setup.env_dir, spec.description, course.seed)
    with _agent(setup, course) as agent:
        with _agent_errors("start"):
            agent.start(task)
        with setup.envs.open(task_id) as env:
            course.ids = {name: getattr(env, name, None) for name in ("env_id", "worker_id")}
            return _drive(env, agent, setup, course)


def _drive(env: GymEnv, agent: Agent, setup: AttemptSetup, course: _Course) -> dict[str, Any]:
    observation = env.reset(seed=course.seed)
    course.recorder.reset(observation)
    for step in count():
        with _agent_errors(f"act at step {step}"):
            turn = agent.act(observation, step=step)
        is_last = setup.steps is not None and step + 1 >= setup.steps
        observation, reward, done, info = _step(env, agent, turn, is_last=is_last)
        course.steps, course.reward = step + 1, course.reward + reward
        course.recorder.step(step, turn, observation, reward=reward, info=info if done else None)
        course.on_step(course.steps)
        if done:
            return {**info, "reason": STEP_LIMIT} if is_last and not turn.done else info
    raise AssertionError("unreachable: count() has no end")


def _step(env: GymEnv, agent: Agent, turn: AgentTurn, *, is_last: bool) -> tuple[Any, float, bool, Any]:
    """Return what a turn led to; an agent that can be told of refused actions gets a step without any instead."""
    try:
        return _inject(env, agent, turn, is_last=is_last)
    except (ActionInvalid, NotSupported) as error:
        if not isinstance(agent, Corrigible):
            raise
        with _agent_errors("refused"):
            agent.refused(error)
        return _inject(env, agent, AgentTurn(note=f"{turn.note}\n(refused: {error})"), is_last=is_last)


def _inject(env: GymEnv, agent: Agent, turn: AgentTurn, *, is_last: bool) -> tuple[Any, float, bool, Any]:
    return env.step(
        turn.actions,
        wait_between_actions=agent.wait_between_actions_s,
        mark_done=turn.done or is_last,
        trajectory_metadata={"note": turn.note} if turn.note else None,
    )


def _judged(info: dict[str, Any], task_id: str) -> dict[str, Any]:
    verdict = info.get("verifier")
    if not verdict:
        raise VerifierFailed(
            f"the task {task_id} was not judged: it has no verifier; name one in its success.spec.program"
        )
    outcome = Outcome.PASSED if verdict["passed"] else Outcome.FAILED
    feedback = str(verdict.get("feedback") or "")
    return {"outcome": outcome, "score": verdict["score"], "reason": info.get("reason"), "feedback": feedback}


def _broken(error: Exception, *, is_cancelled: bool) -> dict[str, Any]:
    if is_cancelled:  # whatever an environment says when it is closed under its caller
        error = Cancelled("the run was cancelled")
    elif isinstance(error, GymQueueError):
        logger.info("attempt not judged: %s: %s", error.code, error)
    else:
        logger.error("attempt broken by a bug", exc_info=error)
    code = error.code if isinstance(error, GymQueueError) else GymQueueError.code
    message = str(error) if isinstance(error, GymQueueError) else f"{type(error).__name__}: {error}"
    return {"outcome": Outcome.ERROR, "error": AttemptError(code=code, message=message)}


@contextmanager
def _agent(setup: AttemptSetup, course: _Course) -> Iterator[Agent]:
    with _agent_errors("construction"):
        agent = setup.make_agent()
    try:
        yield agent
    finally:
        course.usage = _usage(agent)
        try:
            agent.close()
        except Exception:
            logger.exception("the agent could not be closed")


def _usage(agent: Agent) -> dict[str, float]:
    """Return what an agent that counts says it used."""
    said = getattr(agent, "usage", None)
    if not isinstance(said, Mapping):
        return {}
    return {
        str(name): number
        for name, number in said.items()
        if isinstance(number, (int, float)) and isfinite(number)
    }


@contextmanager
def _agent_errors(where: str) -> Iterator[None]:
    try:
        yield
    except GymQueueError:
        raise
    except (Exception, SystemExit) as error:
        logger.exception("the agent raised in its %s", where)
        raise AgentFailed(f"the agent raised {type(error).__name__} in its {where}: {error}") from error
