"""One try of an attempt, from the agent's start to the environment's close."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from gym_queue.benchmark.agents.base import Agent, AgentTask, AgentTurn, Corrigible, EnvPlace, Located
from gym_queue.benchmark.attempt import STEP_LIMIT, Attempt, AttemptError, Key, Outcome, Timings
from gym_queue.benchmark.messages import Job
from gym_queue.benchmark.openenvs import OpenEnvs
from gym_queue.benchmark.recorder import NoRecorder, Recorder
from gym_queue.benchmark.turns import agents_own, check_actions, check_turn, usage_of, wait_of
from gym_queue.errors import (
    ActionInvalid,
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
from gym_queue.protocol.surface import GymEnv
from gym_queue.specs.loader import load_env, load_task

logger = logging.getLogger(__name__)


class Listener(Protocol):
    """Is told how a try gets on."""

    def turn(self, where: str | None) -> None:
        """Code of the agent begins to run; None: it has returned."""

    def step(self, steps: int) -> None:
        """So many steps were taken."""

    def closing(self) -> None:
        """The environment is being closed."""

    def tell(self, text: str) -> None:
        """The agent has a line for whoever runs the benchmark."""


@dataclass(frozen=True, slots=True)
class TrySetup:
    """What the tries of a run share."""

    envs: OpenEnvs
    make_agent: Callable[[], Agent]
    listener: Listener
    seed: int = 0
    steps: int | None = None
    """Steps after which an attempt is ended and judged; None leaves it to the task's own limit."""
    reset: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of every reset."""
    remote_url: str | None = None
    clock: Callable[[], float] = time.monotonic
    record: Callable[[Key], Recorder] = NoRecorder
    """Makes what keeps a try."""


@dataclass(slots=True)
class _Course:
    """What is known of a try while it runs, and remains when it breaks."""

    recorder: Recorder
    seed: int
    clock: Callable[[], float]
    env_id: str
    worker_id: str | None = None
    is_open: bool = False
    steps: int = 0
    refused: int = 0
    reward: float = 0.0
    usage: dict[str, float] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the time of a block to what was spent."""
        started = self.clock()
        try:
            yield
        finally:
            self.spent[name] += self.clock() - started  # type: ignore[assignment]  # seconds

    def known(self) -> dict[str, Any]:
        """Return the fields of the attempt."""
        ids = {"env_id": self.env_id, "worker_id": self.worker_id} if self.is_open else {}
        timings = Timings(**{name: round(spent, 6) for name, spent in self.spent.items()})
        counts = {"steps": self.steps, "refused": self.refused, "usage": self.usage}
        return {**counts, **ids, "seed": self.seed, "timings": timings}


def run_try(job: Job, setup: TrySetup) -> tuple[Attempt, bool]:
    """Run one try of an attempt to its end.

    Returns:
        What became of it, whatever broke being its error; and whether the infrastructure broke it, so that another one
        may go better.

    Raises:
        ModelDenied, OutputFailed: No other attempt would go better.
    """
    with setup.record(job.key) as recorder:
        course = _Course(recorder, setup.seed + job.key.repeat, setup.clock, job.env_id)
        started, (result, is_lost) = setup.clock(), _outcome(job, setup, course)
        seconds = setup.clock() - started
        attempt = Attempt(**job.key._asdict(), seconds=seconds, **course.known(), **result)
        recorder.judge(attempt.model_dump(mode="json", exclude={"lost"}))
    return attempt, is_lost


def _outcome(job: Job, setup: TrySetup, course: _Course) -> tuple[dict[str, Any], bool]:
    is_lost = False
    result: dict[str, Any]
    try:
        info = _play(job, setup, course)
        result = _judged(info, job.key.task_id) | {"reward": course.reward}
    except (ModelDenied, OutputFailed):  # the run stops, and can be resumed
        raise
    except Exception as error:  # noqa: BLE001  logged and counted in _broken: the other attempts go on
        is_cancelled = setup.envs.is_cancelled
        is_lost = _is_lost(error) and not is_cancelled
        result = _broken(error, is_cancelled=is_cancelled)
    return result, is_lost


def _is_lost(error: Exception) -> bool:
    """Whether the machinery broke, so that another try may go better: a runner that nobody has is not found by trying."""
    return isinstance(error, (EnvLost, Infrastructure)) and not isinstance(error, RunnerUnavailable)


def _play(job: Job, setup: TrySetup, course: _Course) -> dict[str, Any]:
    """Return the ``info`` of the step that ended the episode."""
    task_id = job.key.task_id
    env_spec, spec = load_env(job.env_dir), load_task(job.env_dir, task_id)
    task = AgentTask(task_id, env_spec, spec, job.env_dir, spec.description, course.seed)
    with _agent(task, setup, course) as agent, _env(job, setup, course) as env:
        if isinstance(agent, Located):
            with agents_own("located", setup.listener.turn):
                told = agent.located(EnvPlace(course.env_id, setup.remote_url))
            if told:
                setup.listener.tell(told)
        return _Episode(env, agent, setup, course).play()


@contextmanager
def _agent(task: AgentTask, setup: TrySetup, course: _Course) -> Iterator[Agent]:
    with course.timed("starting"), agents_own("construction", setup.listener.turn):
        agent = setup.make_agent()
    try:
        with course.timed("starting"), agents_own("start", setup.listener.turn):
            agent.start(task)
        yield agent
    finally:
        setup.listener.turn("close")
        try:
            course.usage = usage_of(agent)
            agent.close()
        except Exception:
            logger.exception("the agent could not be closed")
        setup.listener.turn(None)


@contextmanager
def _env(job: Job, setup: TrySetup, course: _Course) -> Iterator[GymEnv]:
    with course.timed("creating"):
        env = setup.envs.open(job)
    course.is_open = True
    course.env_id, course.worker_id = getattr(env, "env_id", job.env_id), getattr(env, "worker_id", None)
    try:
        yield env
    finally:
        setup.listener.closing()
        with course.timed("closing"):
            setup.envs.close(env)


@dataclass(frozen=True, slots=True)
class _Episode:
    """An agent in an environment that was opened for it."""

    env: GymEnv
    agent: Agent
    setup: TrySetup
    course: _Course

    def play(self) -> dict[str, Any]:
        """Go on until it is done; return the last step's ``info``."""
        course, setup = self.course, self.setup
        wait_s = wait_of(self.agent)
        with course.timed("resetting"):
            observation = self.env.reset(seed=course.seed, **setup.reset)
        course.recorder.reset(observation)
        for step in count():
            turn = self._turn(observation, step)
            is_last = setup.steps is not None and step + 1 >= setup.steps
            observation, reward, done, info = self._step(step, turn, observation, wait_s, is_last=is_last)
            course.steps, course.reward = step + 1, course.reward + reward
            setup.listener.step(course.steps)
            if done:
                return {**info, "reason": STEP_LIMIT} if is_last and not turn.done else info
        raise AssertionError("unreachable: count() has no end")

    def _turn(self, observation: dict[str, Any], step: int) -> AgentTurn:
        where = f"act at step {step}"
        with self.course.timed("acting"), agents_own(where, self.setup.listener.turn):
            turn = self.agent.act(observation, step=step)
        return check_turn(turn, where)

    def _step(
        self, step: int, turn: AgentTurn, seen: dict[str, Any], wait_s: float, *, is_last: bool
    ) -> tuple[dict[str, Any], float, bool, dict[str, Any]]:
        """Take a step; when its actions are refused and the agent can be told so, one without any instead."""
        refused = None
        recorder = self.course.recorder
        try:
            check_actions(turn)
            observation, reward, done, info = self._inject(turn, wait_s, is_last=is_last)
        except (ActionInvalid, NotSupported) as error:
            refused = str(error)
            self.course.refused += 1
            if not isinstance(self.agent, Corrigible):
                recorder.step(step, turn, seen, reward=0.0, info=None, refused=refused)
                raise
            with self.course.timed("acting"), agents_own("refused", self.setup.listener.turn):
                self.agent.refused(error)
            instead = AgentTurn(note=f"{turn.note}\n(refused: {error})")
            observation, reward, done, info = self._inject(instead, wait_s, is_last=is_last)
        recorder.step(step, turn, observation, reward=reward, info=info if done else None, refused=refused)
        return observation, reward, done, info

    def _inject(self, turn: AgentTurn, wait_s: float, *, is_last: bool) -> Any:
        with self.course.timed("stepping"):
            return self.env.step(
                turn.actions,
                wait_between_actions=wait_s,
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
