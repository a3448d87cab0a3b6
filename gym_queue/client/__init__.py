"""Drives environments on workers, straight or through a master, as if they were local."""

from gym_queue.client.aio import AsyncRemoteGymEnv
from gym_queue.client.remote import RemoteGymEnv
from gym_queue.client.transport import check_server
from gym_queue.client.vector import RemoteVectorEnv

__all__ = ["AsyncRemoteGymEnv", "RemoteGymEnv", "RemoteVectorEnv", "check_server"]
