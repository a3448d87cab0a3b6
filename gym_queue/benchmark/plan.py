"""Which environments and tasks a run is made of."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gym_queue.benchmark.attempt import Key
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.info import EnvInfo, TaskInfo
from gym_queue.errors import GymQueueError, RequestInvalid, SpecInvalid, SpecNotFound
from gym_queue.specs.corpus import find_corpus
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.files import find_file
from gym_queue.specs.loader import (
    ALL,
    full_names,
    hint,
    is_shipped,
    load_env,
    load_task,
    resolve_env_dir,
    shipped_environments,
)
from gym_queue.specs.splits import SplitFinder

logger = logging.getLogger(__name__)

SHOWN = 10


@dataclass(frozen=True, slots=True)
class PlannedEnv:
    """An environment of the run, and its tasks in it."""

    env_dir: Path
    spec: EnvSpec
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the env folder."""
        return self.env_dir.name

    @property
    def place(self) -> str:
        """What a cluster's workers know it by: a shipped one is at a path of their own."""
        hides = find_file(Path(self.name).absolute(), "env") is not None
        return self.name if is_shipped(self.env_dir) and not hides else str(self.env_dir)

    @property
    def runners(self) -> tuple[str, ...]:
        """What it may run on."""
        return tuple(sorted(self.spec.acceptable_runners()))

    @property
    def info(self) -> EnvInfo:
        """What the run's folder says of it."""
        return EnvInfo(env=self.name, env_id=self.spec.id, env_version=self.spec.version)


def plan_run(config: BenchmarkConfig) -> tuple[PlannedEnv, ...]:
    """Return the environments that a run goes over, each with at least one task.

    Of many environments those that have no such task or split are left out, which a warning says.

    Raises:
        RequestInvalid: Both a task and a split are given; a corpus is none, or has two environments of one name.
        SpecNotFound: There is no such environment, task or split, or no task in it.
        SpecInvalid: A file cannot be read.
    """
    if config.task is not None and config.split is not None:
        raise RequestInvalid(
            f"both the task {config.task} and the split {config.split} are given: give one of them"
        )
    env_dirs, finder = find_envs(config.env, config.corpus), SplitFinder()
    _check_names(env_dirs)
    if len(env_dirs) == 1:
        return (_planned(env_dirs[0], plan_tasks(env_dirs[0], config, finder)[: config.max_tasks]),)
    found, left = [], config.max_tasks
    for env_dir, tasks in _with_tasks(env_dirs, config, finder):
        kept = tasks[:left]
        left = None if left is None else left - len(kept)
        found += [_planned(env_dir, kept)] if kept else []
    return tuple(found)


def keys_of(envs: Sequence[PlannedEnv], repeats: int) -> list[Key]:
    """Return the attempts that make a run, in the order they are to be shown."""
    return [Key(env.name, task, repeat) for env in envs for task in env.tasks for repeat in range(repeats)]


def find_envs(env: str, corpus: Path | None) -> list[Path]:
    """Return the env folders that a word means.

    Args:
        env: ``all``; else an env folder, the name of one that ships or is in the corpus, or the folder of many.
        corpus: Where names are looked up, and what ``all`` means; None is those that ship.

    Raises:
        RequestInvalid: A folder holds no environment, or cannot be read.
        SpecNotFound: It means nothing.
    """
    if env == ALL and corpus is None:
        return [resolve_env_dir(name) for name in shipped_environments()]
    if corpus is not None:
        return _in_corpus(env, corpus)
    try:
        return [resolve_env_dir(env)]
    except SpecNotFound:
        if not Path(env).is_dir():
            raise
        return _corpus_envs(Path(env))


def _in_corpus(env: str, corpus: Path) -> list[Path]:
    env_dirs = _corpus_envs(corpus)
    if env == ALL:
        return env_dirs
    found = [each for each in env_dirs if each.name in full_names(env)]
    if found:
        return found
    if find_file(Path(env).absolute(), "env"):
        return [Path(env).absolute()]
    raise SpecNotFound(
        f"the corpus {corpus} has no environment {env!r}; {hint(env, [each.name for each in env_dirs])}"
    )


def _corpus_envs(root: Path) -> list[Path]:
    corpus = find_corpus(root)
    for problem in corpus.problems:
        raise RequestInvalid(f"{problem.path} cannot be read: {problem.message}")
    return list(corpus.env_dirs)


def _check_names(env_dirs: Sequence[Path]) -> None:
    name, times = Counter(each.name for each in env_dirs).most_common(1)[0]
    if times > 1:
        both = " and ".join(str(each) for each in env_dirs if each.name == name)
        raise RequestInvalid(f"two environments are named {name}, {both}: run them one after the other")


def _planned(env_dir: Path, tasks: Sequence[str]) -> PlannedEnv:
    return PlannedEnv(env_dir, load_env(env_dir), tuple(tasks))


def _with_tasks(
    env_dirs: Sequence[Path], config: BenchmarkConfig, finder: SplitFinder
) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield the environments that have what was asked for."""
    without: list[tuple[str, GymQueueError]] = []
    for env_dir in env_dirs:
        try:
            yield env_dir, plan_tasks(env_dir, config, finder)
        except SpecNotFound as error:
            without.append((env_dir.name, error))
    if len(without) == len(env_dirs):
        raise SpecNotFound(
            f"none of {len(env_dirs)} environments has such a task; the first: {without[0][1]}"
        )
    if without:
        names = [name for name, _ in without]
        logger.warning("left out, as they have no such task: %s", _some(names))


def plan_tasks(env_dir: Path, config: BenchmarkConfig, finder: SplitFinder) -> tuple[str, ...]:
    """Return the ids of an environment's tasks to run, each once, in the order they are to be shown.

    Raises:
        SpecNotFound: There is no such task or split, or no task in it.
        SpecInvalid: The task or splits file cannot be read.
    """
    if config.task is not None:
        load_task(env_dir, config.task)
        return (config.task,)
    chosen = tuple(dict.fromkeys(finder.find(env_dir, config.split or ALL)))
    if not chosen:
        raise SpecNotFound(
            f"{env_dir} has no task in its split {config.split or ALL!r}: there is nothing to run"
        )
    return chosen


def task_info(env_dir: Path, task_id: str) -> TaskInfo:
    """Return what a task's results are grouped by; nothing of one whose file cannot be read, which its attempt will say."""
    try:
        spec = load_task(env_dir, task_id)
    except (SpecInvalid, SpecNotFound):
        return TaskInfo(env=env_dir.name, task_id=task_id)
    return TaskInfo(env=env_dir.name, task_id=task_id, difficulty=spec.difficulty, tags=spec.tags)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
