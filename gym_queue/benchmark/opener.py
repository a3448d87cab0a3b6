"""Opening a job's environment: in this process, or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.protocol.sessions import CreateRequest
from gym_queue.protocol.surface import GymEnv
from gym_queue.specs.loader import load_task
from gym_queue.specs.task import Success

if TYPE_CHECKING:
    from gym_queue.benchmark.messages import Job

QUEUE_TIMEOUT_S = 3600.0
"""How long a create may wait for a free slot: a run has time, and may have more loops than the cluster has slots."""

OpenEnv = Callable[["Job"], GymEnv]
"""Opens the environment of a job; not reset yet."""


def make_opener(config: BenchmarkConfig) -> OpenEnv:
    """Return what opens the run's environments, where the config says."""
    if config.remote_url is None:
        return lambda job: _open_here(job, config)
    url = config.remote_url
    return lambda job: _open_there(job, config, url)


def _open_here(job: Job, config: BenchmarkConfig) -> GymEnv:
    from gym_queue.env.local import LocalGymEnv  # a remote run needs no runner

    variables = judge_env(job, config, os.environ)
    return LocalGymEnv(
        CreateRequest(
            env_dir=str(job.env_dir), task_id=job.key.task_id, env_id=job.env_id, verifier_env=variables
        )
    )


def _open_there(job: Job, config: BenchmarkConfig, url: str) -> GymEnv:
    from gym_queue.client import RemoteGymEnv  # a local run needs no client

    return RemoteGymEnv.from_config(
        url,
        job.place,
        task_id=job.key.task_id,
        env_id=job.env_id,
        timeout=config.remote_timeout_s,
        worker_reset_policy=config.remote_worker_reset_policy,
        verifier_env=judge_env(job, config, os.environ),
        queue_timeout_s=QUEUE_TIMEOUT_S,
    )


def judge_env(job: Job, config: BenchmarkConfig, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a job's verifier gets: those that its judge needs, and the flags'.

    Args:
        job: Which task.
        config: Its flags win.
        environ: This process's variables.
    """
    from gym_queue.client.choice import judge_variables  # as above

    flags = config.verifier_env()
    task = load_task(job.env_dir, job.key.task_id)
    if config.verifier_mode:
        kept = task.success.spec if task.success else {}
        task = task.model_copy(update={"success": Success(mode=config.verifier_mode, spec=kept)})
    return judge_variables(task, {**environ, **flags}) | flags
