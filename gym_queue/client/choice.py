"""What to open: the caller's words made a create request, checked against the files that are on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_queue.errors import SpecNotFound
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.files import read_mapping
from gym_queue.specs.loader import (
    is_shipped,
    load_env,
    load_task,
    parse_env,
    parse_task,
    resolve_env_dir,
    shipped_environments,
)
from gym_queue.specs.task import TaskSpec

EnvSource = str | Path | Mapping[str, Any] | EnvSpec
"""A spec file's path, its content, or the spec."""
TaskSource = str | Path | Mapping[str, Any] | TaskSpec

VERIFIER_MODE = "GYM_ANYTHING_VERIFIER_MODE"
VERIFIER_PREFIXES = ("VLM_", "GYM_ANYTHING_VLM_")
API_KEYS: Mapping[str, str] = {
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
"""A judge's backend → the variable that holds its key."""
BACKENDS = ("GYM_ANYTHING_VLM_CHECKLIST_BACKEND", "VLM_BACKEND")


@dataclass(frozen=True, slots=True)
class Choice:
    """The part of a create request that names the environment, and the specs where they are known here."""

    fields: dict[str, Any]
    env_spec: EnvSpec | None = None
    task_spec: TaskSpec | None = None

    def runner(self, explicit: str | None) -> str | None:
        """Return the runner to ask for: the caller's, else the one that the spec leaves as the only choice."""
        if explicit or self.env_spec is None:
            return explicit
        acceptable = self.env_spec.acceptable_runners()
        return next(iter(acceptable)) if len(acceptable) == 1 else None


def choose(
    *,
    env_spec: EnvSource | None = None,
    task_spec: TaskSource | None = None,
    env_dir: str | Path | None = None,
    task_id: str | None = None,
    benchmark: str | None = None,
    env_name: str | None = None,
) -> Choice:
    """Return what the caller's words mean.

    Args:
        env_spec, task_spec: Sent whole.
        env_dir: A folder of this machine, sent as its absolute path; any other path or name goes as it is.
        task_id: One of the environment's tasks.
        benchmark, env_name: For the worker to look up.

    Raises:
        SpecInvalid: A file or dict that is here does not follow the format.
        SpecNotFound: A folder that is here is no env folder, or has no such task; there is no such spec file.
    """
    given = {"task_id": task_id, "benchmark": benchmark, "env_name": env_name}
    fields: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    env, task = None, None
    if env_spec is not None:
        fields["env_spec"], env = _read_env(env_spec)
    if task_spec is not None:
        fields["task_spec"], task = _read_task(task_spec)
    folder = None
    if env_dir is not None:
        fields["env_dir"], folder = _find(env_dir)
    elif benchmark is not None and env_name is not None:
        folder = _find_in_benchmark(benchmark, env_name)
    if folder is not None:
        env = env or load_env(folder)
        task = task or (load_task(folder, task_id) if task_id is not None else None)
    return Choice(fields, env, task)


def _read_env(source: EnvSource) -> tuple[dict[str, Any], EnvSpec]:
    if isinstance(source, EnvSpec):
        return source.model_dump(mode="json", exclude_unset=True), source
    if isinstance(source, Mapping):
        return dict(source), parse_env(source, where="env_spec")
    raw = read_mapping(Path(source))
    return raw, parse_env(raw, where=str(source))


def _read_task(source: TaskSource) -> tuple[dict[str, Any], TaskSpec]:
    if isinstance(source, TaskSpec):
        return source.model_dump(mode="json", exclude_unset=True), source
    if isinstance(source, Mapping):
        return dict(source), parse_task(source, where="task_spec")
    raw = read_mapping(Path(source))
    return raw, parse_task(raw, where=str(source))


def _find(env_dir: str | Path) -> tuple[str, Path | None]:
    """Return what to send, and the folder when it is on this machine.

    Raises:
        SpecNotFound: The folder is here and is no env folder.
    """
    here = Path(env_dir).absolute()
    try:
        found = resolve_env_dir(env_dir)
    except SpecNotFound:
        if here.exists():
            raise
        return str(env_dir), None  # the worker may have it
    # A shipped environment goes by its name: a worker has it at a path of its own.
    return found.name if found != here and is_shipped(found) else str(found), found


def _find_in_benchmark(benchmark: str, env_name: str) -> Path | None:
    folder = Path("benchmarks", Path(benchmark).name, "environments", Path(env_name).name)
    if folder.is_dir():
        return folder.absolute()
    return resolve_env_dir(env_name) if env_name in shipped_environments() else None


def judge_variables(task: TaskSpec | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a task's verifier needs, for a caller who gave none.

    Nothing is taken unless a model judges the task (``vlm_checklist``, or ``multi`` with one). Then these are:
    ``VLM_*``, ``GYM_ANYTHING_VLM_*``, ``GYM_ANYTHING_VERIFIER_MODE``, and the API key of the backend that they
    name: OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY; all three when they name none.

    Args:
        task: None when the task is not known on this machine: nothing is taken.
        environ: This process's variables.
    """
    success = task.success if task else None
    if success is None:
        return {}
    if success.mode != "vlm_checklist" and not (success.mode == "multi" and "vlm_checklist" in success.spec):
        return {}
    named = [environ[name] for name in BACKENDS if environ.get(name)]
    keys = {API_KEYS[name] for name in named if name in API_KEYS} if named else set(API_KEYS.values())
    wanted = {VERIFIER_MODE, *keys}
    return {
        name: value
        for name, value in environ.items()
        if value and (name in wanted or name.startswith(VERIFIER_PREFIXES))
    }
