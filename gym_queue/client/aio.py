"""An environment on a worker, driven from asyncio."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self, Unpack

from gym_queue.client.choice import EnvSource, TaskSource
from gym_queue.client.core import RemoteCalls
from gym_queue.client.leases import keep_in_task
from gym_queue.client.network import LoopNetwork
from gym_queue.client.opening import Everything, MoreOptions, open_env


class AsyncRemoteGymEnv(RemoteCalls):
    """RemoteGymEnv for asyncio: every method is a coroutine, and nothing blocks the event loop.

    It is made by ``await AsyncRemoteGymEnv.open(...)`` or ``from_config``, ``from_benchmark`` and ``make``, which
    take the keywords of RemoteGymEnv and raise what it raises. ``episode_dir`` and ``runner_name`` of RemoteGymEnv
    ask the server, so here they are ``get_episode_dir()`` and ``get_runner_name()``. A call that is cancelled
    ends its connection; whether the worker carried it out is not known. It belongs to the event loop it was opened in,
    which renews its lease too: code that blocks the loop for longer than ``lease_s`` loses the environment.
    """

    @classmethod
    async def open(cls, remote_url: str, **options: Unpack[Everything]) -> Self:
        """Open an environment; arguments and errors as RemoteGymEnv's."""
        return cls(await open_env(LoopNetwork(), keep_in_task, remote_url, **options))

    @classmethod
    async def from_config(
        cls, remote_url: str, env_dir: str | Path, task_id: str | None = None, **options: Unpack[MoreOptions]
    ) -> Self:
        """Open an environment folder; arguments and errors as RemoteGymEnv's."""
        return await cls.open(remote_url, env_dir=env_dir, task_id=task_id, **options)

    @classmethod
    async def from_benchmark(
        cls,
        remote_url: str,
        benchmark: str,
        env_name: str,
        task_id: str | None = None,
        **options: Unpack[MoreOptions],
    ) -> Self:
        """Open an environment by benchmark and name, looked up by the worker; arguments and errors as RemoteGymEnv's."""
        return await cls.open(remote_url, benchmark=benchmark, env_name=env_name, task_id=task_id, **options)

    @classmethod
    async def make(
        cls, remote_url: str, env: EnvSource, task: TaskSource | None = None, **options: Unpack[MoreOptions]
    ) -> Self:
        """Open an environment from specs: files, dicts or specs; arguments and errors as RemoteGymEnv's."""
        return await cls.open(remote_url, env_spec=env, task_spec=task, **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
