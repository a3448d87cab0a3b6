"""Env folders: finding them, and reading what they hold."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from gym_queue.errors import SpecInvalid, SpecNotFound
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.files import find_file, parse_model, read_mapping
from gym_queue.specs.presets import SOURCES, with_preset
from gym_queue.specs.task import TaskSpec

ALL = "all"
"""The split that every env folder has: all its tasks."""
CORPORA = "benchmarks/*/environments"
"""Where a checkout of Gym-Anything has its corpora, below the working folder."""
ENDING = "_env"
"""Of nearly every env folder's name; people leave it out."""


def parse_env(raw: Mapping[str, Any], *, where: str) -> EnvSpec:
    """Check an environment that came as a mapping, over its preset.

    Args:
        raw: What env.json would hold.
        where: What to call its source in an error.

    Raises:
        SpecInvalid: It does not follow the format, or names an unknown preset.
    """
    return parse_model(EnvSpec, with_preset(raw, where=where), where=where)


def parse_task(raw: Mapping[str, Any], *, where: str) -> TaskSpec:
    """Check a task that came as a mapping.

    Args:
        raw: What task.json would hold.
        where: What to call its source in an error.

    Raises:
        SpecInvalid: It does not follow the format.
    """
    return parse_model(TaskSpec, raw, where=where)


def load_env(env_dir: Path) -> EnvSpec:
    """Read env.json, else env.yaml, else env.yml of an env folder.

    Args:
        env_dir: The folder.

    Raises:
        SpecNotFound: There is no such file.
        SpecInvalid: It cannot be read, or does not follow the format.
    """
    path = find_file(env_dir, "env")
    if path is None:
        raise SpecNotFound(f"{env_dir} has no env.json, env.yaml or env.yml: it is not an env folder")
    return parse_env(read_mapping(path), where=str(path))


def load_task(env_dir: Path, task_id: str) -> TaskSpec:
    """Read the task file of ``tasks/<task_id>``.

    Args:
        env_dir: The env folder.
        task_id: The name of the task's folder.

    Raises:
        SpecNotFound: There is no such task.
        SpecInvalid: The name is a path, or the file cannot be read or does not follow the format.
    """
    path = find_file(task_folder(env_dir, task_id), "task")
    if path is None:
        raise SpecNotFound(f"{env_dir} has no task {task_id!r}; {hint(task_id, list_tasks(env_dir))}")
    return parse_task(read_mapping(path), where=str(path))


def task_folder(env_dir: Path, task_id: str) -> Path:
    """Return the folder of a task, whether it exists or not.

    Args:
        env_dir: The env folder.
        task_id: The name of the task's folder.

    Raises:
        SpecInvalid: The name is not that of a folder in ``tasks``, but a path.
    """
    if task_id in ("", ".", "..") or any(mark in task_id for mark in "/\\\0"):
        raise SpecInvalid(f"task id {task_id!r} is not the name of a folder in {env_dir / 'tasks'}")
    return env_dir / "tasks" / task_id


def list_tasks(env_dir: Path) -> list[str]:
    """Return the ids of an env folder's tasks, sorted; none when it has no ``tasks`` folder.

    Raises:
        SpecNotFound: There is no such env folder.
    """
    if not env_dir.is_dir():
        raise SpecNotFound(f"there is no env folder {env_dir}")
    folder = env_dir / "tasks"
    if not folder.is_dir():
        return []
    return sorted(each.name for each in folder.iterdir() if find_file(each, "task"))


def load_splits(env_dir: Path) -> dict[str, list[str]]:
    """Return an env folder's splits by name, from splits.json or splits.yaml; ``all`` is always every task.

    Raises:
        SpecNotFound: There is no such env folder.
        SpecInvalid: The file cannot be read, or is not {name: [task ids]}.
    """
    splits = {ALL: list_tasks(env_dir)}
    path = find_file(env_dir, "splits")
    for name, tasks in read_mapping(path).items() if path else ():
        if not isinstance(tasks, list) or not all(isinstance(task, str) for task in tasks):
            raise SpecInvalid(f"{path}: {name}: a list of task ids belongs here")
        splits.setdefault(str(name), tasks)
    return splits


def load_split(env_dir: Path, split: str) -> list[str]:
    """Return the task ids of one split, in its order.

    Args:
        env_dir: The env folder.
        split: The split's name; ``all`` is every task.

    Raises:
        SpecNotFound: There is no such split, or env folder.
        SpecInvalid: The splits file cannot be read.
    """
    splits = load_splits(env_dir)
    if split not in splits:
        raise SpecNotFound(f"{env_dir} has no split {split!r}; its splits are {', '.join(splits)}")
    return splits[split]


def shipped_environments() -> list[str]:
    """Return the names of the environments that come with the package, sorted."""
    folder = _shipped_folder()
    return sorted(each.name for each in folder.iterdir() if find_file(each, "env")) if folder.is_dir() else []


def is_shipped(path: Path) -> bool:
    """Whether a path lies in the environments that come with the package, links resolved."""
    try:
        return path.resolve().is_relative_to(_shipped_folder().resolve())
    except (OSError, RuntimeError, ValueError):  # a loop of links, a NUL
        return False


def resolve_env_dir(name: str | Path) -> Path:
    """Return the env folder that a name stands for.

    Args:
        name: A folder, relative to the working folder or absolute; else the name of a shipped environment; else that of
            one in ``benchmarks/*/environments`` of the working folder. ``_env`` at its end may be left out of a name.

    Returns:
        The folder, absolute.

    Raises:
        SpecNotFound: It is none of these, or more than one corpus has it; the message says what was tried.
    """
    folder = Path(name).absolute()
    if find_file(folder, "env"):
        return folder
    shipped = shipped_environments()
    for each in full_names(str(name)):
        if each in shipped:
            return _shipped_folder() / each
        found = _in_corpora(each)
        if len(found) > 1:
            places = " and ".join(str(place.relative_to(Path.cwd())) for place in found)
            raise SpecNotFound(f"more than one environment is named {each!r}: name the folder, {places}")
        if found:
            return found[0]
    raise SpecNotFound(
        f"no environment {str(name)!r}: {folder} holds no env.json, env.yaml or env.yml, "
        f"and the shipped environments are {', '.join(shipped) or 'none'}{_near(str(name), shipped)}"
    )


def corpus_environments() -> list[Path]:
    """Return the env folders of the corpora in the working folder, ``benchmarks/*/environments``, sorted."""
    return sorted(each for each in Path.cwd().glob(f"{CORPORA}/*") if find_file(each, "env"))


def full_names(name: str) -> tuple[str, ...]:
    """Return the folders that a short name may mean; none for a path."""
    if not name or Path(name).name != name:
        return ()
    return (name,) if name.endswith(ENDING) else (name, name + ENDING)


def _in_corpora(name: str) -> list[Path]:
    folders = (place / name for place in sorted(Path.cwd().glob(CORPORA)))
    return [folder for folder in folders if find_file(folder, "env")]


def _near(name: str, shipped: list[str]) -> str:
    known = [*shipped, *(each.name for each in corpus_environments())]
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def resolve_mount(env_dir: Path, source: str) -> Path:
    """Return the host's file or folder that a mount's ``source`` means.

    Sources are usually written from a corpus' root: ``benchmarks/<corpus>/environments/<env>/scripts``. So
    it is looked for from the working folder, then by the part below the env folder's own name, then from the
    env folder. Nothing confines it to the env folder.

    Args:
        env_dir: The env folder.
        source: The path as the spec has it.

    Raises:
        SpecNotFound: None of these exists.
    """
    tried = list(dict.fromkeys(_mount_candidates(env_dir, Path(source)))) if source else []
    for path in tried:
        if os.path.exists(path):  # noqa: PTH110  (Path.exists raises on a name too long for the disk)
            return path
    raise SpecNotFound(
        f"mount source {source!r} does not exist; tried {', '.join(map(str, tried)) or 'nothing'}"
    )


def shipped_dockerfile(name: str) -> Path | None:
    """Return the package's own Dockerfile of a preset.

    Args:
        name: Where a checkout of Gym-Anything has it: ``src/gym_anything/presets/x11_lite/Dockerfile``.

    Returns:
        The file; None when the name is no preset's, or the package ships none for it.
    """
    if not PurePosixPath(name).is_relative_to(SOURCES):
        return None
    path = _shipped_folder() / "presets" / PurePosixPath(name).relative_to(SOURCES)
    return path if path.is_file() else None


def _mount_candidates(env_dir: Path, source: Path) -> list[Path]:
    home = env_dir.absolute()
    below = [
        home.joinpath(*source.parts[index + 1 :])
        for index, part in enumerate(source.parts)
        if part in (home.name, home.resolve().name)
    ]
    return [source.absolute(), *below, home / source]


def _shipped_folder() -> Path:
    return Path(str(resources.files("gym_queue"))) / "environments"


def hint(wanted: str, known: list[str]) -> str:
    """Return what may have been meant by a name that is not known, or else what there is."""
    close = difflib.get_close_matches(wanted, known, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    shown = ", ".join(known[:10]) + (", .." if len(known) > 10 else "")
    return f"it has {shown}" if known else "it has none"
