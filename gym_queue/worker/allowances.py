"""What a worker allows its environments, by its settings."""

from __future__ import annotations

from pathlib import Path

from gym_queue.env.bounds import EpisodeBounds
from gym_queue.env.checkpoints import CacheLimits
from gym_queue.runners.base import VmOptions
from gym_queue.runners.memory import read_memory
from gym_queue.settings import WorkerSettings, checkpoints_path
from gym_queue.specs.security import HostPolicy
from gym_queue.verifiers import VerifierLimits
from gym_queue.web.limits import MIB
from gym_queue.worker.live import HostLimits


def host_policy_of(settings: WorkerSettings) -> HostPolicy:
    """Return what of this host environments may use."""
    return HostPolicy(
        env_roots=tuple(root.absolute() for root in settings.env_roots) or (Path.cwd(),),
        allow_paths=tuple(path.absolute() for path in settings.allow_paths),
        allow_privileged=settings.allow_privileged,
    )


def verifier_limits_of(settings: WorkerSettings) -> VerifierLimits:
    """Return what one verification may use."""
    return VerifierLimits(
        timeout_s=settings.verifier_timeout_s,
        cpu_s=settings.verifier_cpu_s,
        memory_bytes=int(settings.verifier_memory_gb * 2**30),
        file_bytes=int(settings.verifier_file_gb * 2**30),
        processes=settings.verifier_processes,
        user=settings.verifier_user,
    )


def cache_limits_of(settings: WorkerSettings) -> CacheLimits:
    """Return what checkpoints may take by a worker's settings."""
    return CacheLimits(
        max_bytes=int(settings.cache_max_gb * 1024 * MIB), max_age_s=settings.cache_max_age_days * 86_400
    )


def episode_bounds_of(settings: WorkerSettings) -> EpisodeBounds:
    """Return what one step and one copy may ask, and an episode keep."""
    return EpisodeBounds(
        actions=settings.max_actions,
        wait_s=settings.max_wait_s,
        frames=settings.max_frames,
        copy_bytes=int(settings.copy_gb * 2**30),
        settle_s=settings.settle_ms / 1000,
        settle_max_s=settings.settle_max_ms / 1000,
    )


def vm_options_of(settings: WorkerSettings, acceleration: str | None = None) -> VmOptions:
    """Return how virtual machines run.

    Args:
        settings: The worker's.
        acceleration: What the doctor saw machines run by; None leaves it to each environment to find out.
    """
    return VmOptions(acceleration, settings.allow_emulation, settings.vm_image_dir)


def host_limits_of(settings: WorkerSettings, max_starting: int, acceleration: str | None) -> HostLimits:
    """Return what a worker's host allows.

    Args:
        settings: The worker's.
        max_starting: Environments that open at once.
        acceleration: As for ``vm_options_of``.
    """
    return HostLimits(
        settings.max_envs,
        settings.timeout_s,
        settings.call_timeout_s,
        settings.reset_policy,
        max_starting,
        host_policy_of(settings),
        verifier_limits_of(settings),
        int(settings.step_body_mb * MIB),
        episode_bounds_of(settings),
        settings.checkpoint_dir or checkpoints_path(),
        cache_limits_of(settings),
        vm=vm_options_of(settings, acceleration),
        vm_memory_bytes=read_memory().total,
    )
