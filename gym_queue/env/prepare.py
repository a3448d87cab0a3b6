"""Bringing a sandbox to where its task begins: from its image, or from the best checkpoint there is."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from gym_queue.env.checkpoints import CheckpointCache, CheckpointRecord, keeps_files_alone
from gym_queue.env.digest import CheckpointKeys
from gym_queue.env.hooks import run_hook
from gym_queue.env.source import EnvSource
from gym_queue.env.view import timed
from gym_queue.errors import RunnerFailed
from gym_queue.protocol.sessions import ResetRequest
from gym_queue.runners.base import CheckpointDamaged, Runner, RunnerSetup, VmOptions
from gym_queue.runners.memory import read_memory
from gym_queue.runners.qemu.room import check_room, memory_of
from gym_queue.runners.registry import keeps_machines
from gym_queue.specs.env import CacheLevel

logger = logging.getLogger(__name__)

HOOK_TIMEOUT_S = 600.0
"""Limit of each command of an env's hooks; the format gives only pre_task one of its own."""
LEVELS: Sequence[CacheLevel] = get_args(CacheLevel)
"""In the order an environment passes them."""

Adopt = Callable[[Runner], None]
"""Takes the runner before it starts, so that a close can end it; raises when the environment is closed already."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The checkpoints that a reset may use or keep."""

    keys: Mapping[CacheLevel, str] = field(default_factory=dict)
    """By level; none when it uses none."""
    machine: bool = False
    """Whether they hold machines that run, not files alone."""


@dataclass(frozen=True, slots=True)
class SandboxSetup:
    """What an environment's sandboxes are made of."""

    env_id: str
    source: EnvSource
    work_dir: Path
    """The sandbox's own folder."""
    copy_bytes: int | None
    settle_s: float
    open_runner: Callable[[str, RunnerSetup], Runner]
    checkpoints: CheckpointCache
    vm: VmOptions = field(default_factory=VmOptions)


@dataclass(slots=True)
class Prepared:
    """A sandbox where its task begins."""

    runner: Runner
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    loaded: CacheLevel | None = None
    """The checkpoint that it was started from."""
    saved: list[CacheLevel] = field(default_factory=list)
    """The checkpoints that were kept on the way."""

    def describe(self, plan: Plan) -> dict[str, Any]:
        """Return what the reply to a reset says of checkpoints: the level ``loaded``, the levels ``saved``.

        Where they hold machines that run, ``machine`` is true.
        """
        said: dict[str, Any] = {"loaded": self.loaded, "saved": self.saved}
        return {**said, "machine": True} if plan.machine else said


class Preparation:
    """Starts sandboxes of one environment.

    Args:
        setup: What they are made of.
    """

    def __init__(self, setup: SandboxSetup) -> None:
        self._setup = setup
        self._keys = CheckpointKeys(setup.source)

    def plan(self, request: ResetRequest) -> Plan:
        """Return the checkpoints that a reset may use or keep.

        A reset to a machine that runs starts from a checkpoint, whether it says ``use_cache`` or not. At the level
        ``default`` the spec says which kind, as far as its runner keeps it.

        Raises:
            NotSupported: The runner keeps no such checkpoints.
            RunnerFailed: There is no image to tell what the sandbox is made of.
            RunnerUnavailable: The sandbox software does not answer.
        """
        source, vm = self._setup.source, self._setup.vm
        if request.use_savevm and not keeps_machines(source.runner):
            raise keeps_files_alone(source.runner)
        if not (request.use_cache or request.use_savevm):
            return Plan()
        asked, machine = self._kind(request)
        storage = self._setup.checkpoints.storage(source.runner)
        base = storage.fingerprint(source.spec, source.env_dir, vm=vm, machine=machine)
        keys = {
            level: self._keys.key(level, base=base, seed=request.seed, machine=machine)
            for level in self._levels(asked, machine=machine)
        }
        return Plan(keys, machine)

    def _levels(self, asked: CacheLevel, *, machine: bool) -> list[CacheLevel]:
        """Return the levels up to the one that is asked for; of machines, which are large, those that hooks lead to."""
        spec, has_task = self._setup.source.spec, self._setup.source.task is not None
        levels = [level for level in LEVELS[: LEVELS.index(asked) + 1] if has_task or level != "post_task"]
        hooks = {"pre_start": spec.hooks.pre_start, "post_start": spec.hooks.post_start}
        return [level for level in levels if not machine or level == levels[-1] or hooks[level]]

    def _kind(self, request: ResetRequest) -> tuple[CacheLevel, bool]:
        """Return the level that is asked for, and whether of machines that run."""
        if request.cache_level != "default":
            return request.cache_level, request.use_savevm
        source = self._setup.source
        wished = source.spec.default_use_savevm and keeps_machines(source.runner)
        return source.spec.default_cache_level, request.use_savevm or wished

    def run(self, request: ResetRequest, plan: Plan, adopt: Adopt) -> Prepared:
        """Start a fresh sandbox and bring it to where the task begins.

        Args:
            request: Which seed.
            plan: The checkpoints to use, and to keep where they are missing.
            adopt: Takes each runner before it starts.

        Raises:
            HookFailed: A hook failed.
            RunnerFailed: The sandbox did not start.
            NoCapacity: Its machine's memory is not there now.
        """
        keys = plan.keys
        for level in reversed(LEVELS):
            if level in keys and self._setup.checkpoints.find(keys[level]) is not None:
                try:
                    return self._from_checkpoint(level, plan, request, adopt)
                except _Unusable as error:
                    logger.warning(
                        "the checkpoint %s cannot be started from, and goes: %s", keys[level], error
                    )
                    self._setup.checkpoints.remove(keys[level])
        prepared = self._start(request.seed, None, adopt, will_keep=plan.machine)
        self._run_hooks(prepared, plan)
        return prepared

    def restore(self, record: CheckpointRecord, seed: int | None, adopt: Adopt) -> Prepared:
        """Start a sandbox from a state that was saved; no hook runs.

        Raises:
            RunnerFailed: It did not start.
        """
        return self._start(seed, record.key, adopt)

    def _from_checkpoint(
        self, level: CacheLevel, plan: Plan, request: ResetRequest, adopt: Adopt
    ) -> Prepared:
        adopted: list[Runner] = []

        def remember(runner: Runner) -> None:
            adopt(runner)
            adopted.append(runner)

        try:
            is_last = level == max(plan.keys, key=LEVELS.index)
            prepared = self._start(
                request.seed, plan.keys[level], remember, will_keep=plan.machine and not is_last
            )
        except CheckpointDamaged as error:
            for runner in adopted:
                runner.close()
            raise _Unusable(str(error)) from error
        prepared.loaded = level
        self._run_hooks(prepared, plan)
        return prepared

    def _start(
        self, seed: int | None, checkpoint: str | None, adopt: Adopt, *, will_keep: bool = False
    ) -> Prepared:
        setup, source = self._setup, self._setup.source
        variables = {"GYM_TASK_ID": source.task.id} if source.task else {}
        if seed is not None:
            variables["GYM_SEED"] = str(seed)
        if needed := memory_of(source.runner, source.spec):
            check_room(source.name, needed, read_memory())
        setup.work_dir.mkdir(parents=True, exist_ok=True)
        runner = setup.open_runner(
            source.runner,
            RunnerSetup(
                setup.env_id,
                source.spec,
                source.env_dir,
                setup.work_dir,
                seed,
                variables,
                setup.copy_bytes,
                setup.settle_s,
                checkpoint=checkpoint,
                checkpoint_dir=setup.checkpoints.root / source.runner,
                vm=setup.vm,
                will_keep=will_keep,
            ),
        )
        adopt(runner)
        prepared = Prepared(runner)
        with timed(prepared.timings, "start"):
            runner.start()
        return prepared

    def _run_hooks(self, prepared: Prepared, plan: Plan) -> None:
        """Run the hooks that the loaded checkpoint does not hold, and keep the checkpoints that are missing."""
        began, saving_s = time.monotonic(), 0.0
        for level in LEVELS:
            if level == "post_task":
                self._run_reset(prepared.runner)
            if prepared.loaded is not None and LEVELS.index(level) <= LEVELS.index(prepared.loaded):
                continue
            self._run_level(prepared.runner, level)
            if level in plan.keys:
                saving_s += self._keep(prepared, level, plan)
        prepared.timings["hooks"] = time.monotonic() - began - saving_s
        if plan.keys:
            prepared.timings["checkpoint"] = saving_s

    def _run_reset(self, runner: Runner) -> None:
        spec = self._setup.source.spec
        if spec.reset_script:
            run_hook(runner, "reset_script", (spec.reset_script,), timeout_s=HOOK_TIMEOUT_S)
        else:
            run_hook(runner, "reset", spec.hooks.reset, timeout_s=HOOK_TIMEOUT_S)

    def _run_level(self, runner: Runner, level: CacheLevel) -> None:
        spec, task = self._setup.source.spec, self._setup.source.task
        if level == "pre_start":
            run_hook(runner, "pre_start", spec.hooks.pre_start, timeout_s=HOOK_TIMEOUT_S)
        elif level == "post_start":
            run_hook(runner, "post_start", spec.hooks.post_start, timeout_s=HOOK_TIMEOUT_S)
        elif task is not None:
            run_hook(runner, "pre_task", task.hooks.pre_task, timeout_s=task.hooks.pre_task_timeout)
            if task.init.init_script:
                run_hook(runner, "init_script", (task.init.init_script,), timeout_s=HOOK_TIMEOUT_S)

    def _keep(self, prepared: Prepared, level: CacheLevel, plan: Plan) -> float:
        """Keep a checkpoint; returns the seconds it took."""
        began, source = time.monotonic(), self._setup.source
        record = CheckpointRecord(
            key=plan.keys[level],
            runner=source.runner,
            env=source.spec.id,
            task=source.task.id if source.task and level == "post_task" else None,
            level=level,
            machine=plan.machine,
            size_bytes=0,
            created_at=time.time(),
        )
        try:
            if self._setup.checkpoints.save(prepared.runner, record) is not None:
                prepared.saved.append(level)
        except RunnerFailed as error:  # the next reset is slower; this one lacks nothing
            logger.warning("no checkpoint of %s (%s) was kept: %s", record.env, level, error)
        return time.monotonic() - began


class _Unusable(Exception):
    """A sandbox did not start from a checkpoint."""
