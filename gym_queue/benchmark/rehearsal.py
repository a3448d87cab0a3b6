"""A task played through, to see that its setup works and that its verifier tells right from wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gym_queue.benchmark.agents.base import AgentTask
from gym_queue.benchmark.agents.scripted import IDLE, SOLUTION, ScriptedAgent, ScriptedOptions
from gym_queue.errors import GymQueueError, Infrastructure
from gym_queue.protocol.surface import GymEnv
from gym_queue.specs.files import read_mapping
from gym_queue.specs.loader import load_env, load_task, task_folder

SCRIPTS = {"steps": "solution", "wrong": "mistake"}
"""What solution.json may hold → what it is called here."""


@dataclass(frozen=True, slots=True)
class ResetChoice:
    """How each play is reset."""

    seed: int = 0
    use_cache: bool = False
    cache_level: str = "pre_start"
    use_savevm: bool = False


class Play(BaseModel):
    """One run of a task."""

    model_config = ConfigDict(frozen=True)

    name: str
    """idle (nothing was done), solution or mistake (its script was played)."""
    expected: bool
    """Whether it must pass."""
    passed: bool | None = None
    """None when it was not judged."""
    score: float | None = None
    feedback: str = ""
    code: str | None = None
    """Of the error that kept it from being judged."""
    error: str | None = None
    is_infrastructure: bool = False
    """Whether that error says nothing about the task."""
    duration_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it ended as it must."""
        return self.passed is self.expected


class Rehearsal(BaseModel):
    """What the runs of one task found."""

    model_config = ConfigDict(frozen=True)

    env: str
    task_id: str
    plays: tuple[Play, ...]
    has_solution: bool
    """Whether there is a script that must pass; without one only doing nothing was tried."""

    @property
    def ok(self) -> bool:
        """Whether every run ended as it must."""
        return all(play.ok for play in self.plays)

    @property
    def is_infrastructure(self) -> bool:
        """Whether something broke that says nothing about the task."""
        return any(play.is_infrastructure for play in self.plays)


def rehearse(
    env_dir: Path, task_id: str, open_env: Callable[[str], GymEnv], choice: ResetChoice
) -> Rehearsal:
    """Run a task idle, then by its scripts: the idle run and the mistake must fail, the solution must pass.

    After a run that could not be judged there is no other.

    Args:
        env_dir: The env folder.
        task_id: The task.
        open_env: Opens the environment of a task; one serves all runs.
        choice: How it is reset.

    Raises:
        SpecNotFound: There is no such task.
        SpecInvalid: Its file, its environment's or its scripts do not follow the format.
    """
    spec, task = load_env(env_dir), load_task(env_dir, task_id)
    asked = AgentTask(task_id, spec, task, env_dir, task.description, choice.seed)
    scripts = dict(_scripts(env_dir, task_id))
    plans = [_plan(script, asked) for script in (IDLE, *scripts)]
    plays: list[Play] = []
    try:
        with closing(open_env(task_id)) as env:
            for name, steps in zip(("idle", *scripts.values()), plans, strict=True):
                plays.append(_play(env, name, steps, choice))
                if plays[-1].error is not None:
                    break
    except GymQueueError as error:
        plays = plays or [_broken("idle", error, 0.0)]
    return Rehearsal(env=env_dir.name, task_id=task_id, plays=tuple(plays), has_solution="steps" in scripts)


def _scripts(env_dir: Path, task_id: str) -> Iterator[tuple[str, str]]:
    path = task_folder(env_dir, task_id) / SOLUTION
    if path.is_file():
        content = read_mapping(path)
        yield from ((key, name) for key, name in SCRIPTS.items() if key in content)


def _plan(script: str, task: AgentTask) -> list[list[dict[str, Any]]]:
    agent = ScriptedAgent(ScriptedOptions(script=script))
    agent.start(task)
    steps: list[list[dict[str, Any]]] = []
    done = False
    while not done:
        turn = agent.act({}, step=len(steps))
        steps.append(list(turn.actions))
        done = turn.done
    return steps


def _play(env: GymEnv, name: str, steps: list[list[dict[str, Any]]], choice: ResetChoice) -> Play:
    started = time.perf_counter()
    try:
        env.reset(choice.seed, choice.use_cache, choice.cache_level, choice.use_savevm)
        info: dict[str, Any] = {}
        for index, actions in enumerate(steps):
            _, _, done, info = env.step(actions, 0.0, index == len(steps) - 1)
            if done:
                break
    except GymQueueError as error:
        return _broken(name, error, time.perf_counter() - started)
    elapsed_s = time.perf_counter() - started
    verdict = info.get("verifier")
    if verdict is None:
        return Play(
            name=name, expected=name == "solution", error="the task has no verifier", duration_s=elapsed_s
        )
    return Play(
        name=name,
        expected=name == "solution",
        passed=bool(verdict.get("passed")),
        score=verdict.get("score"),
        feedback=str(verdict.get("feedback") or ""),
        duration_s=elapsed_s,
    )


def _broken(name: str, error: GymQueueError, elapsed_s: float) -> Play:
    return Play(
        name=name,
        expected=name == "solution",
        code=error.code,
        error=str(error),
        is_infrastructure=isinstance(error, Infrastructure),
        duration_s=elapsed_s,
    )
