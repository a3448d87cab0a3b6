"""Where an environment goes: a pure function of the request and snapshots of the workers."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gym_queue.errors import RequestInvalid
from gym_queue.master.records import WorkerSnapshot
from gym_queue.names import acceptable_runners
from gym_queue.protocol.fleet import MAX_RESOURCE, Resources, WorkerStatus
from gym_queue.protocol.queues import queue_name
from gym_queue.protocol.sessions import CreateRequest

TIE = 0.10
"""Workers whose load differs by less than this share count as equally loaded."""


@dataclass(frozen=True, slots=True)
class Need:
    """What an environment needs of a worker."""

    runners: frozenset[str]
    """Any of these; empty means any at all."""
    resources: Resources = field(default_factory=Resources)
    env_key: str | None = None
    """Names the environment, to prefer a worker that has it cached."""

    @property
    def capability(self) -> str:
        """What is waited for, in words: ``docker|local cpu=2 gpu=1``."""
        wanted = self.resources.model_dump(exclude_none=True)
        return " ".join(
            ["|".join(sorted(self.runners)) or "any", *(f"{key}={value:g}" for key, value in wanted.items())]
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """A worker, and how the create reaches it."""

    worker_id: str
    worker_url: str
    runner: str | None
    """None leaves the choice to the worker."""
    queue: str | None
    """Celery queue; None sends the create by HTTP."""


@dataclass(frozen=True, slots=True)
class Unplaceable:
    """Why no worker takes it."""

    reasons: dict[str, str]
    """Worker id → why not."""
    hopeless: bool
    """No worker that is here could take it even when idle."""


def need_of(request: CreateRequest) -> Need:
    """Return what a create needs, as far as the request itself says.

    Raises:
        RequestInvalid: It asks for more than any machine has.
    """
    spec = request.env_spec or {}
    runner, base, raw = spec.get("runner"), spec.get("base"), spec.get("resources")
    runners = acceptable_runners(
        request.runner,
        runner if isinstance(runner, str) else None,
        base if isinstance(base, str) else None,
    )
    return Need(runners, _resources(raw), request.env_dir or request.env_name)


def _resources(raw: object) -> Resources:
    given = raw if isinstance(raw, dict) else {}
    numbers = {
        key: value
        for key in ("cpu", "mem_gb", "gpu")
        if isinstance(value := given.get(key), int | float) and value >= 0
    }
    for key, value in numbers.items():
        if not value <= MAX_RESOURCE:
            raise RequestInvalid(
                f"env_spec.resources.{key} is more than {MAX_RESOURCE:,}: ask for what a machine has"
            )
    return Resources(
        cpu=numbers.get("cpu"), mem_gb=numbers.get("mem_gb"), gpu=int(numbers.get("gpu", 0)) or None
    )


def place(
    need: Need,
    workers: Sequence[WorkerSnapshot],
    *,
    exclude: Collection[str] = (),
    full: Mapping[str, str] | None = None,
    rng: random.Random | None = None,
) -> Placement | Unplaceable:
    """Choose a worker: the least loaded that fits; near ties go to one that has the environment cached, else at random.

    Args:
        need: What the environment needs.
        workers: Snapshots of all of them.
        exclude: Workers that already failed this create.
        full: Workers that said just now that they have no room, and why.
        rng: For ties.
    """
    reasons: dict[str, str] = {}
    hopeless = True
    fitting = []
    for worker in workers:
        never = _never(need, worker, exclude)
        hopeless = hopeless and never is not None
        why = never or (full or {}).get(worker.worker_id) or _not_now(worker)
        if why is None:
            fitting.append(worker)
        else:
            reasons[worker.worker_id] = why
    if not fitting:
        return Unplaceable(reasons, hopeless)
    return _placement(need, _choose(need, fitting, rng or random.Random()))  # noqa: S311  no secret: a tie


def could_ever(need: Need, workers: Iterable[WorkerSnapshot]) -> bool:
    """Return whether any of these workers could take it, were it idle and alive."""
    return any(
        _never(need, replace(worker, status=WorkerStatus.HEALTHY), exclude=()) is None for worker in workers
    )


def _never(need: Need, worker: WorkerSnapshot, exclude: Collection[str]) -> str | None:
    """Return why a worker could not take it even when idle."""
    if worker.status is WorkerStatus.DEAD:
        return "dead"
    if worker.worker_id in exclude:
        return "failed this create before"
    if worker.runners is not None and not (
        need.runners & set(worker.runners) if need.runners else worker.runners
    ):
        return f"has no {' or '.join(sorted(need.runners)) or 'usable'} runner"
    for what, wanted, has in (
        ("cores", need.resources.cpu, worker.cpu),
        ("GiB of memory", need.resources.mem_gb, worker.mem_gb),
        ("GPUs", need.resources.gpu, worker.gpu),
    ):
        if wanted and has is not None and wanted > has:
            return f"has {has:g} {what} and {wanted:g} are needed"
    if need.resources.gpu and not worker.gpu:
        return "has no GPU"
    return "has no slots" if worker.max_envs == 0 else None


def _not_now(worker: WorkerSnapshot) -> str | None:
    """Return why a worker that could take it does not now."""
    if worker.status is not WorkerStatus.HEALTHY:
        return str(worker.status)
    if worker.used >= worker.max_envs:
        return f"all {worker.max_envs} slots are taken"
    if worker.max_starting is not None and worker.starting >= worker.max_starting:
        return f"already starts {worker.starting}"
    return None


def _choose(need: Need, fitting: Sequence[WorkerSnapshot], rng: random.Random) -> WorkerSnapshot:
    least = min(worker.used / worker.max_envs for worker in fitting)
    near = [worker for worker in fitting if worker.used / worker.max_envs <= least + TIE]
    cached = [worker for worker in near if need.env_key in worker.cached]
    return rng.choice(cached or near)


def _placement(need: Need, worker: WorkerSnapshot) -> Placement:
    runner = next(
        (name for name in worker.runners or sorted(need.runners) if not need.runners or name in need.runners),
        None,
    )
    queue = queue_name(runner, worker.worker_id) if runner else None
    return Placement(worker.worker_id, worker.url, runner, queue if queue in worker.queues else None)
