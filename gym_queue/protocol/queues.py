"""Names on the broker."""

from __future__ import annotations

CREATE_TASK = "gym_queue.create_env"
"""The one Celery task: opens an environment; its task id is the env id."""


def queue_name(runner: str, worker_id: str) -> str:
    """Return the queue by which one worker takes environments of one runner."""
    return f"env.{runner}.{worker_id}"
