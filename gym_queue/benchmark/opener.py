"""Opening a task's environment: in this process, or on a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.env.local import from_config
from gym_queue.protocol.surface import GymEnv

OpenEnv = Callable[[str], GymEnv]
"""Opens the environment of a task id; not reset yet."""


def make_opener(config: BenchmarkConfig, env_dir: Path) -> OpenEnv:
    """Return what opens the run's environments, where the config says.

    Raises:
        RequestInvalid: The remote URL is not one.
        ConnectionFailed: Nothing answers there; said once, before any attempt.

    Args:
        config: Whether and how to run remotely.
        env_dir: The env folder on this machine.
    """
    if config.remote_url is None:
        return lambda task_id: from_config(env_dir, task_id)
    return _remote(config, config.remote_url, env_dir)


def _remote(config: BenchmarkConfig, url: str, env_dir: Path) -> OpenEnv:
    from gym_queue.client import RemoteGymEnv, check_server  # a local run needs no client

    check_server(url)
    # A shipped environment goes by its name: a worker has it at a path of its own.
    place = str(env_dir) if Path(config.env).absolute() == env_dir else config.env
    return lambda task_id: RemoteGymEnv.from_config(
        url,
        place,
        task_id=task_id,
        timeout=config.remote_timeout_s,
        worker_reset_policy=config.remote_worker_reset_policy,
    )
