"""Gym Queue: computer-use environments on a fleet, driven as if they were local."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gym_queue.version import __version__

if TYPE_CHECKING:
    from gym_queue.client import AsyncRemoteGymEnv, RemoteGymEnv, RemoteVectorEnv
    from gym_queue.env.local import LocalGymEnv, from_config, make
    from gym_queue.errors import GymQueueError

__all__ = [
    "AsyncRemoteGymEnv",
    "GymQueueError",
    "LocalGymEnv",
    "RemoteGymEnv",
    "RemoteVectorEnv",
    "__version__",
    "from_config",
    "make",
]

_HOMES = {
    "AsyncRemoteGymEnv": "gym_queue.client",
    "RemoteGymEnv": "gym_queue.client",
    "RemoteVectorEnv": "gym_queue.client",
    "LocalGymEnv": "gym_queue.env.local",
    "from_config": "gym_queue.env.local",
    "make": "gym_queue.env.local",
    "GymQueueError": "gym_queue.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that a program loads only what it needs."""
    if name not in _HOMES:
        raise AttributeError(f"module 'gym_queue' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
