"""One live environment of a worker, and what a worker allows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.env.checkpoints import CacheLimits
from gym_queue.errors import Conflict, EnvBusy, GymQueueError, NoCapacity
from gym_queue.protocol.sessions import CreateRequest
from gym_queue.runners.base import VmOptions
from gym_queue.runners.qemu.machine import GIB
from gym_queue.runners.qemu.room import no_room
from gym_queue.settings import checkpoints_path
from gym_queue.specs.security import HostPolicy
from gym_queue.tracing import Trace, current
from gym_queue.verifiers import VerifierLimits
from gym_queue.worker.calllog import CallLog
from gym_queue.worker.envprocess import EnvProcess
from gym_queue.worker.putaway import KeepRule
from gym_queue.worker.replies import Replies
from gym_queue.worker.trajectory import TrajectoryReader

NOT_THE_SAME = {"queue_timeout_s": None, "priority": 0}
"""What may differ between two requests for the same environment."""


@dataclass(slots=True)
class LiveEnv:
    """One live environment; only Host changes it."""

    env_id: str
    request: CreateRequest
    token: str
    work_dir: Path
    created_at: float
    last_activity: float
    last_seen: float
    """When its client was last heard of; keepalive counts too."""
    process: EnvProcess | None = None
    inline: bool = False
    opened: dict[str, Any] = field(default_factory=dict)
    ready: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    """How the opening ended, for those who asked for the same environment meanwhile."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    replies: Replies = field(default_factory=Replies)
    busy: int = 0
    """Calls that run or wait; a busy environment is never idle."""
    incoming_bytes: int = 0
    """Of uploads that are coming in, all together."""
    ending: bool = False
    """We are ending it ourselves: its process's exit is no surprise."""
    looking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by whoever has its screen drawn."""
    calls: CallLog = field(default_factory=CallLog)
    trajectory: TrajectoryReader = field(default_factory=TrajectoryReader)
    running: tuple[str, str] | None = None
    """The step or reset that runs: its name and its request's id."""
    trace: Trace = field(default_factory=current)
    """What its create was part of."""

    def check_free(self) -> None:
        """See that no step or reset runs.

        Raises:
            EnvBusy: One does; ``running_call`` and ``running_request_id`` name it.
        """
        if self.running is not None:
            call, request_id = self.running
            raise EnvBusy(
                f"environment {self.env_id} still carries out the {call} of request {request_id}: wait for its answer, or repeat it with its Idempotency-Key",
                {"env_id": self.env_id, "running_call": call, "running_request_id": request_id},
            )

    async def join(self, request: CreateRequest) -> LiveEnv:
        """Return this environment, which somebody else opens, once it is open.

        Raises:
            Conflict: It is being closed, or was asked for with another request.
            GymQueueError: It could not be opened.
        """
        if self.ending:
            raise Conflict(
                f"the environment {self.env_id} is being closed: create another", {"env_id": self.env_id}
            )
        if request.model_copy(update=NOT_THE_SAME) != self.request.model_copy(update=NOT_THE_SAME):
            raise Conflict(
                f"environment {self.env_id} was created by another request: repeat that one as it was, or choose a new env_id"
            )
        await asyncio.shield(self.ready)
        return self

    def settle(self, error: BaseException | None) -> None:
        """Tell those who joined how the opening ended."""
        if error is None:
            self.ready.set_result(None)
            return
        if not isinstance(error, GymQueueError):
            error = NoCapacity(
                f"the first create of {self.env_id} was given up: ask again", {"retry_after_s": 0}
            )
        self.ready.set_exception(error)
        self.ready.exception()  # asyncio complains of exceptions that nobody looked at


def check_memory(env: LiveEnv, all_of_them: Iterable[LiveEnv], limit_bytes: int | None) -> None:
    """See that a worker's machines have room together, though none of them may have started yet.

    Args:
        env: The one that was opened last.
        all_of_them: It and the others.
        limit_bytes: What they may take; None is no limit.

    Raises:
        NoCapacity: The last is too much.
    """
    needed = env.opened["memory_bytes"]
    taken = sum(each.opened.get("memory_bytes", 0) for each in all_of_them)
    if needed and limit_bytes is not None and taken > limit_bytes:
        raise no_room(
            f"the virtual machine of {env.env_id} needs {needed / GIB:.1f} GiB of memory beside those of the others",
            limit_bytes - (taken - needed),
        )


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What a Host allows."""

    max_envs: int
    idle_timeout_s: float
    call_timeout_s: float
    reset_policy: str = "core"
    max_starting: int | None = None
    """Environments that open at once; further ones wait. None is no limit."""
    host_policy: HostPolicy = field(default_factory=HostPolicy)
    """What of this host environments may use."""
    verifier_limits: VerifierLimits = field(default_factory=VerifierLimits)
    step_bytes: int = 32 << 20
    """Body of a step: its longest texts and voice."""
    episode_bounds: EpisodeBounds = field(default_factory=EpisodeBounds)
    """What one step and one copy may ask, and an episode keep."""
    checkpoint_dir: Path = field(default_factory=checkpoints_path)
    """Where checkpoints are kept, shared by the workers of this host."""
    cache_limits: CacheLimits = field(default_factory=CacheLimits)
    """What checkpoints may take."""
    vm: VmOptions = field(default_factory=VmOptions)
    """How virtual machines run."""
    vm_memory_bytes: int | None = None
    """What the virtual machines of all environments may take together; None is no limit."""
    keep: KeepRule | None = None
    """Where finished episodes go; None keeps none."""
