"""Drives environments on workers, straight or through a master, as if they were local."""

from gym_queue.client.remote import RemoteGymEnv
from gym_queue.client.transport import check_server

__all__ = ["RemoteGymEnv", "check_server"]
