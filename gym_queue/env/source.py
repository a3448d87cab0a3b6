"""From a create request to the specs it means, and the runner that will run them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import Conflict, RunnerUnavailable, SpecNotFound
from gym_queue.names import RUNNERS
from gym_queue.protocol.sessions import CreateRequest, EpisodeLimits
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import (
    load_env,
    load_task,
    parse_env,
    parse_task,
    resolve_env_dir,
    shipped_environments,
)
from gym_queue.specs.security import HostPolicy
from gym_queue.specs.task import TaskSpec

logger = logging.getLogger(__name__)

SHOWN = 200
"""Characters of a caller's own words that an error repeats."""
DIGEST_PREFIX = "gq1:"


@dataclass(frozen=True, slots=True)
class EnvSource:
    """An environment and, when one was asked for, a task: loaded and checked."""

    spec: EnvSpec
    task: TaskSpec | None
    env_dir: Path | None
    task_dir: Path | None
    """The task's own folder; None when the task did not come from one."""
    runner: str

    @property
    def name(self) -> str:
        """What people call the environment: its folder's name, or its spec's id."""
        return self.env_dir.name if self.env_dir else self.spec.id


def load_source(
    request: CreateRequest, runners: Sequence[str], policy: HostPolicy | None = None
) -> EnvSource:
    """Read what a create request names.

    Args:
        request: The request.
        runners: What this host can run, best first.
        policy: What environments may use of this host; None allows all of it.

    Raises:
        Forbidden: The folder lies elsewhere, or the spec asks for more, than the policy allows.
        SpecNotFound: No such folder, environment or task here.
        SpecInvalid: A file does not follow the format.
        RunnerUnavailable: The environment needs a runner that this host does not have.
        Conflict: The client's copy of the task differs from ours (``task_digest``).
    """
    policy = policy or HostPolicy()
    env_dir = _find_dir(request, policy)
    spec = load_env(env_dir) if env_dir else parse_env(request.env_spec or {}, where="env_spec")
    task, task_dir = None, None
    if request.task_spec is not None:
        task = parse_task(request.task_spec, where="task_spec")
    elif request.task_id is not None:
        if env_dir is None:
            raise SpecNotFound(
                f"task_id {request.task_id!r} needs an env_dir to be looked up in: send task_spec with env_spec"
            )
        task = load_task(env_dir, request.task_id)
        task_dir = env_dir / "tasks" / request.task_id
        _check_digest(request, env_dir, request.task_id)
    runner = choose_runner(spec, request.runner, runners)
    policy.check_spec(spec, env_dir=env_dir, runner=runner)
    return EnvSource(spec, task, env_dir, task_dir, runner)


def episode_limits(source: EnvSource) -> EpisodeLimits:
    """Return the limits that a task sets; none without a task."""
    if source.task is None:
        return EpisodeLimits()
    init = source.task.init  # checked as a spec, whose numbers may be larger than those of a call
    return EpisodeLimits.model_construct(max_steps=init.max_steps, timeout_sec=init.timeout_sec)


def choose_runner(spec: EnvSpec, explicit: str | None, runners: Sequence[str]) -> str:
    """Return the runner to use: the first this host has among those the environment accepts.

    Raises:
        RunnerUnavailable: None of them is here.
    """
    acceptable = spec.acceptable_runners(explicit)
    for name in runners:
        if not acceptable or name in acceptable:
            return name
    unknown = acceptable - set(RUNNERS)
    known = f"; known runners are {', '.join(RUNNERS)}" if unknown else ""
    wanted = " or ".join(sorted(acceptable))[:SHOWN] or "any"
    here = ", ".join(name for name in runners if name != "fake") or "none"
    raise RunnerUnavailable(
        f"the environment {spec.id} needs the runner {wanted}, and this host has {here}{known}"
    )


def task_digest(env_dir: Path, task_id: str) -> str:
    """Return a digest of the task's files: names and contents, SHA-256."""
    digest = hashlib.sha256()
    folder = env_dir / "tasks" / task_id
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return DIGEST_PREFIX + digest.hexdigest()


def _find_dir(request: CreateRequest, policy: HostPolicy) -> Path | None:
    if request.env_dir is not None:
        return _resolve(request.env_dir, policy)
    if request.env_name is None:
        return None
    name = Path(request.env_name).name
    corpus = Path("benchmarks", Path(request.benchmark or "").name, "environments", name)
    return _resolve(corpus if corpus.is_dir() else name, policy)


def _resolve(name: str | Path, policy: HostPolicy) -> Path:
    if str(name) not in shipped_environments():
        policy.check_env_dir(Path(name).absolute())  # before it is said whether there is such a folder
    found = resolve_env_dir(name)
    policy.check_env_dir(found)
    return found


def _check_digest(request: CreateRequest, env_dir: Path, task_id: str) -> None:
    if request.task_digest is None:
        return
    if not request.task_digest.startswith(DIGEST_PREFIX):
        logger.warning(
            "the client's task digest is of another kind (%.12s..): not compared", request.task_digest
        )
        return
    ours = task_digest(env_dir, task_id)
    if ours != request.task_digest:
        raise Conflict(
            f"the task {task_id} here differs from the client's copy: bring both to the same version",
            {"expected": request.task_digest, "found": ours},
        )
