"""What an episode is made of, and where it is in its life."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.env.checkpoints import CheckpointCache
from gym_queue.env.folder import EpisodeFolder
from gym_queue.env.source import EnvSource
from gym_queue.runners.base import Runner, RunnerSetup, VmOptions
from gym_queue.runners.registry import open_runner
from gym_queue.settings import VmSettings, checkpoints_path
from gym_queue.verifiers import VerifierLimits


class EpisodeState(Enum):
    """Where an environment is in its life."""

    NEW = "new"  # opened, no sandbox yet
    RUNNING = "running"  # reset: takes steps
    DONE = "done"  # judged: takes a reset or close
    CLOSED = "closed"  # nothing left


@dataclass(frozen=True, slots=True)
class EpisodeSetup:
    """What an Episode is made of."""

    env_id: str
    source: EnvSource
    work_dir: Path
    """The environment's own folder: the sandbox's files and the episodes' folders."""
    verifier_env: dict[str, str] = field(default_factory=dict)
    verifier_limits: VerifierLimits = field(default_factory=VerifierLimits)
    reset_policy: str = "core"
    lazy_frames: bool = False
    """Write frames as files only when ``flush`` is called, or a verifier is to see them."""
    put_away: Callable[[Path], object] | None = None
    """Takes the folder of an episode that a reset ended; None leaves it. What is taken is kept with its frames."""
    bounds: EpisodeBounds = field(default_factory=EpisodeBounds)
    checkpoints: CheckpointCache = field(default_factory=lambda: CheckpointCache(checkpoints_path()))
    vm: VmOptions = field(default_factory=VmOptions)
    """How virtual machines run on this host."""
    open_runner: Callable[[str, RunnerSetup], Runner] = open_runner
    clock: Callable[[], float] = time.monotonic

    def make_folder(self, path: Path) -> EpisodeFolder:
        """Return the folder of a new episode."""
        return EpisodeFolder(
            path,
            lazy_frames=self.lazy_frames,
            keeps_frames=self.put_away is not None,
            max_frames=self.bounds.frames,
        )


def local_vm_options() -> VmOptions:
    """Return how virtual machines run by the variables of this process alone."""
    settings = VmSettings()
    return VmOptions(allow_emulation=settings.allow_emulation, image_dir=settings.vm_image_dir)
