"""An environment on a worker, driven like a local one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Unpack

from gym_queue.client.blocking import BlockingCalls
from gym_queue.client.choice import EnvSource, TaskSource
from gym_queue.client.leases import keep_in_thread
from gym_queue.client.network import BlockingNetwork, run_now
from gym_queue.client.opening import LEASE_S, OnLost, Options, open_env
from gym_queue.client.route import RouteMode


class RemoteGymEnv(BlockingCalls):
    """Opens an environment through a master, or straight on a worker, and drives it.

    Args:
        remote_url: The master's or worker's URL, ``http://host:5800``.
        env_spec, task_spec: A spec file's path, its content, or the spec; sent whole.
        env_dir: A folder of this machine, sent as its absolute path (the worker must see it too); or what the
            worker knows it by: a path there, or the name of an environment that ships.
        task_id: One of the environment's tasks.
        timeout: Seconds that any call may take; a create besides its wait for a free slot.
        worker_reset_policy: ``core`` or ``baseline_setup``; None takes the worker's own.
        verifier_env: Variables for this environment's verifier. None sends those of ``judge_variables``: none at
            all unless a model judges the task.
        fast_io: Ask for the runner's quickest input and output.
        benchmark, env_name: An environment by name, looked up by the worker.
        token: The cluster token; None takes ``GYM_ANYTHING_TOKEN`` or the user's token file.
        runner: Overrides the spec's runner.
        env_id: Names the environment; None makes a UUID.
        queue_timeout_s: How long to wait for a free slot; None is the master's default.
        priority: 0 to 9; 9 is served first.
        metadata: Anything JSON; shown with the environment.
        route: ``master`` sends every call through ``remote_url``; ``worker`` sends them straight to the
            environment's worker, with a token for it alone, and only creates and closes to ``remote_url``; ``auto``
            does so while the worker is in reach from here.
        on_lost: What reset, step and capture_observation do when the environment is lost: its worker died, or it was
            killed because it hung. ``raise`` raises EnvLost (EnvTimeout when it was this call that hung);
            ``recreate`` opens another one, sets the same limits, and resets it as the last reset was. A step then
            answers with that first observation, reward 0, done False, ``info["recreated"]`` True and the reason in
            ``info["lost"]``. After three times in one episode it raises.
        lease_s: The worker closes the environment when this process gave no sign of life for so many seconds. They
            are given by all calls, and in the background between them; None needs none.
        ssl_ca: PEM file of the CA that made the certificates of https servers; None takes ``GYM_ANYTHING_SSL_CA``,
            else what the system trusts.

    Raises:
        RequestInvalid: An argument is not valid.
        SpecInvalid: A spec does not follow the format; before anything is sent when it is on this machine.
        SpecNotFound: No such folder, environment or task.
        Unauthorized: No token, or a wrong one.
        NoCapacity: No worker had a free slot in time.
        NotSupported: ``route`` is ``worker``, and the server does not name it.
        ConnectionFailed: The server cannot be reached, or hung up; TlsFailed, one of these, when it or we have the
            wrong certificate or none.
        StartupFailed: The file of ``ssl_ca`` or the token file cannot be used.
        GatewayTimeout: It did not answer in time.
    """

    def __init__(
        self,
        remote_url: str,
        env_spec: EnvSource | None = None,
        task_spec: TaskSource | None = None,
        env_dir: str | Path | None = None,
        task_id: str | None = None,
        timeout: float = 300,
        worker_reset_policy: str | None = "core",
        verifier_env: Mapping[str, Any] | None = None,
        fast_io: bool = False,
        benchmark: str | None = None,
        env_name: str | None = None,
        *,
        token: str | None = None,
        runner: str | None = None,
        env_id: str | None = None,
        queue_timeout_s: float | None = None,
        priority: int = 0,
        metadata: dict[str, Any] | None = None,
        route: RouteMode = "master",
        on_lost: OnLost = "raise",
        lease_s: float | None = LEASE_S,
        ssl_ca: str | Path | None = None,
    ) -> None:
        opening = open_env(
            BlockingNetwork(),
            keep_in_thread,
            remote_url,
            env_spec=env_spec,
            task_spec=task_spec,
            env_dir=env_dir,
            task_id=task_id,
            timeout=timeout,
            worker_reset_policy=worker_reset_policy,
            verifier_env=verifier_env,
            fast_io=fast_io,
            benchmark=benchmark,
            env_name=env_name,
            token=token,
            runner=runner,
            env_id=env_id,
            queue_timeout_s=queue_timeout_s,
            priority=priority,
            metadata=metadata,
            route=route,
            on_lost=on_lost,
            lease_s=lease_s,
            ssl_ca=ssl_ca,
        )
        super().__init__(run_now(opening))

    @classmethod
    def from_config(
        cls,
        remote_url: str,
        env_dir: str | Path,
        task_id: str | None = None,
        timeout: float = 300,
        worker_reset_policy: str | None = "core",
        verifier_env: Mapping[str, Any] | None = None,
        fast_io: bool = False,
        **ours: Unpack[Options],
    ) -> RemoteGymEnv:
        """Open an environment folder; arguments and errors as the class's."""
        return cls(
            remote_url,
            env_dir=env_dir,
            task_id=task_id,
            timeout=timeout,
            worker_reset_policy=worker_reset_policy,
            verifier_env=verifier_env,
            fast_io=fast_io,
            **ours,
        )

    @classmethod
    def from_benchmark(
        cls,
        remote_url: str,
        benchmark: str,
        env_name: str,
        task_id: str | None = None,
        timeout: float = 300,
        worker_reset_policy: str | None = "core",
        verifier_env: Mapping[str, Any] | None = None,
        fast_io: bool = False,
        **ours: Unpack[Options],
    ) -> RemoteGymEnv:
        """Open an environment by benchmark and name, looked up by the worker; arguments and errors as the class's."""
        return cls(
            remote_url,
            benchmark=benchmark,
            env_name=env_name,
            task_id=task_id,
            timeout=timeout,
            worker_reset_policy=worker_reset_policy,
            verifier_env=verifier_env,
            fast_io=fast_io,
            **ours,
        )

    @classmethod
    def make(
        cls,
        remote_url: str,
        env: EnvSource,
        task: TaskSource | None = None,
        timeout: float = 300,
        worker_reset_policy: str | None = "core",
        verifier_env: Mapping[str, Any] | None = None,
        fast_io: bool = False,
        **ours: Unpack[Options],
    ) -> RemoteGymEnv:
        """Open an environment from specs: files, dicts or specs; arguments and errors as the class's."""
        return cls(
            remote_url,
            env_spec=env,
            task_spec=task,
            timeout=timeout,
            worker_reset_policy=worker_reset_policy,
            verifier_env=verifier_env,
            fast_io=fast_io,
            **ours,
        )

    def __enter__(self) -> RemoteGymEnv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RemoteGymEnv(env_id={self.env_id!r}, remote_url={self.remote_url!r})"
