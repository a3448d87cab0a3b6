"""Which tasks a run is made of."""

from __future__ import annotations

from pathlib import Path

from gym_queue.benchmark.output import TaskInfo
from gym_queue.errors import RequestInvalid, SpecInvalid, SpecNotFound
from gym_queue.specs.loader import ALL, load_split, load_task


def plan_tasks(
    env_dir: Path, *, task: str | None = None, split: str | None = None, max_tasks: int | None = None
) -> tuple[str, ...]:
    """Return the ids of the tasks to run, each once, in the order they are to be shown.

    Args:
        env_dir: The env folder.
        task: One task.
        split: A split's name; with neither ``task`` nor ``split``, every task.
        max_tasks: Keep the first so many.

    Raises:
        RequestInvalid: Both a task and a split are given.
        SpecNotFound: There is no such task or split, or no task in it.
        SpecInvalid: The task or splits file cannot be read.
    """
    if task is not None and split is not None:
        raise RequestInvalid(f"both the task {task} and the split {split} are given: give one of them")
    if task is not None:
        load_task(env_dir, task)
        return (task,)
    chosen = tuple(dict.fromkeys(load_split(env_dir, split or ALL)))
    if not chosen:
        raise SpecNotFound(f"{env_dir} has no task in its split {split or ALL!r}: there is nothing to run")
    return chosen[:max_tasks]


def task_info(env_dir: Path, task_id: str) -> TaskInfo:
    """Return what a task's results are grouped by; nothing of one whose file cannot be read, which its attempt will say."""
    try:
        spec = load_task(env_dir, task_id)
    except (SpecInvalid, SpecNotFound):
        return TaskInfo(env=env_dir.name, task_id=task_id)
    return TaskInfo(env=env_dir.name, task_id=task_id, difficulty=spec.difficulty, tags=spec.tags)
