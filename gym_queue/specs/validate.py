"""Checking an env folder and all its tasks without running anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import GymQueueError, SpecInvalid, SpecNotFound
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.files import find_file
from gym_queue.specs.loader import list_tasks, load_env, load_splits, load_task, resolve_mount, task_folder
from gym_queue.specs.scripts import Scripts, top_level_names
from gym_queue.specs.task import TaskSpec


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an env folder."""

    path: Path
    """The file it is in."""
    message: str
    """What is wrong, without the path."""


def validate_env(env_dir: Path) -> list[Problem]:
    """Check an env folder: specs, mounts, hooks, verifiers and splits. Nothing of it is run or imported.

    What cannot be judged from outside is passed over: commands of the sandbox's image, verifiers in packages.

    Args:
        env_dir: The folder.

    Returns:
        What is wrong: the environment's own problems first, then task by task.

    Raises:
        SpecNotFound: There is no such folder.
    """
    path = find_file(env_dir, "env") or env_dir
    tasks = list_tasks(env_dir)
    env: EnvSpec | None = None
    try:
        env = load_env(env_dir)
        problems = [Problem(path, message) for message in _env_faults(env, env_dir)]
    except (SpecInvalid, SpecNotFound) as error:
        problems = [_from_error(path, error)]
    problems += _splits_problems(env_dir, frozenset(tasks))
    for task_id in tasks:
        problems += _task_problems(env, env_dir, task_id)
    return problems


def _env_faults(env: EnvSpec, env_dir: Path) -> Iterator[str]:
    for index, mount in enumerate(env.mounts):
        try:
            resolve_mount(env_dir, mount.source)
        except SpecNotFound as error:
            yield f"mounts.{index}: {error}"
    hooks = env.hooks
    scripts = Scripts.of(env, env_dir, (env_dir,))
    reset = (env.reset_script,) if env.reset_script else ()
    yield from scripts.missing("hooks.pre_start", hooks.pre_start)
    yield from scripts.missing("hooks.post_start", hooks.post_start)
    yield from scripts.missing("hooks.reset", hooks.reset)
    yield from scripts.missing("reset_script", reset)


def _task_problems(env: EnvSpec | None, env_dir: Path, task_id: str) -> list[Problem]:
    folder = task_folder(env_dir, task_id)
    path = find_file(folder, "task") or folder
    try:
        task = load_task(env_dir, task_id)
    except (SpecInvalid, SpecNotFound) as error:
        return [_from_error(path, error)]
    faults = [*_verifier_faults(task, folder)]
    if env is not None:
        faults += _fit_faults(task, env, env_dir, folder)
    return [Problem(path, message) for message in faults]


def _fit_faults(task: TaskSpec, env: EnvSpec, env_dir: Path, folder: Path) -> Iterator[str]:
    if task.env_id is not None and _unversioned(task.env_id) != _unversioned(env.id):
        yield f"env_id: {task.env_id!r} is not this environment, {env.id!r}"
    scripts = Scripts.of(env, env_dir, (folder, env_dir))
    yield from scripts.missing("hooks.pre_task", task.hooks.pre_task)
    yield from scripts.missing("hooks.post_task", task.hooks.post_task)
    yield from scripts.missing("init.init_script", (task.init.init_script,) if task.init.init_script else ())


def _verifier_faults(task: TaskSpec, folder: Path) -> Iterator[str]:
    if task.success is None or task.success.mode not in ("program", "multi"):
        return
    key, program = "success.spec.program", task.success.spec.get("program")
    if program is None and task.success.mode == "multi":
        return
    if not isinstance(program, str) or ":" not in program:
        yield f"{key}: {program!r} is not 'file.py::function' or 'package.module:function'"
    elif "::" in program:
        name, function = program.split("::", 1)
        try:
            defined = top_level_names(folder / name)
        except OSError:
            yield f"{key}: {folder / name} does not exist"
        except (SyntaxError, ValueError, RecursionError) as error:
            yield f"{key}: {folder / name} is not Python: {error}"
        else:
            if function not in defined and "*" not in defined:
                yield f"{key}: {folder / name} does not define {function}"


def _splits_problems(env_dir: Path, tasks: frozenset[str]) -> list[Problem]:
    path = find_file(env_dir, "splits")
    if path is None:
        return []
    try:
        splits = load_splits(env_dir)
    except (SpecInvalid, SpecNotFound) as error:
        return [_from_error(path, error)]
    return [
        Problem(path, f"{name}: there is no task {task!r}")
        for name, members in splits.items()
        for task in members
        if task not in tasks
    ]


def _from_error(path: Path, error: GymQueueError) -> Problem:
    return Problem(path, error.message.removeprefix(f"{path}:").strip())


def _unversioned(name: str) -> str:
    return name.split("@", 1)[0]
