"""An environment on a worker, driven like a local one."""

from __future__ import annotations

import io
import itertools
import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Unpack

from PIL import Image

from gym_queue.client import calls, replies
from gym_queue.client.choice import EnvSource, TaskSource, choose
from gym_queue.client.opening import Options, build_request, open_env
from gym_queue.client.transport import Transport, check_url
from gym_queue.errors import BadReply, EnvLost, EnvNotFound, EnvState, GymQueueError, RequestInvalid
from gym_queue.protocol.observations import Screen
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import EpisodeLimits, SessionInfo
from gym_queue.protocol.surface import StepResult
from gym_queue.settings import find_token

logger = logging.getLogger(__name__)


class RemoteGymEnv:
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

    Raises:
        RequestInvalid: An argument is not valid.
        SpecInvalid: A spec does not follow the format; before anything is sent when it is on this machine.
        SpecNotFound: No such folder, environment or task.
        Unauthorized: No token, or a wrong one.
        NoCapacity: No worker had a free slot in time.
        ConnectionFailed: The server cannot be reached, or hung up.
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
    ) -> None:
        if not timeout > 0:
            raise RequestInvalid(f"timeout is {timeout!r}: give a number of seconds above 0")
        self.remote_url = check_url(remote_url)
        self.timeout = timeout
        self.worker_reset_policy = worker_reset_policy
        choice = choose(
            env_spec=env_spec,
            task_spec=task_spec,
            env_dir=env_dir,
            task_id=task_id,
            benchmark=benchmark,
            env_name=env_name,
        )
        self.env_spec, self.task_spec = choice.env_spec, choice.task_spec
        request = build_request(
            choice,
            env_id=env_id,
            runner=runner,
            verifier_env=verifier_env,
            fast_io=fast_io,
            queue_timeout_s=queue_timeout_s,
            priority=priority,
            metadata=metadata,
        )
        self._closed = False
        self._session: SessionInfo | None = None
        self._limits = EpisodeLimits()
        self._cache: Path | None = None
        self._fetches = itertools.count()
        self._transport = Transport(self.remote_url, find_token() if token is None else token)
        opened = open_env(self._transport, request, timeout_s=timeout)
        self.env_id, self.worker_id, self.worker_url = opened.env_id, opened.worker_id, opened.worker_url

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

    def reset(
        self,
        seed: int | None = None,
        use_cache: bool = False,
        cache_level: str = "pre_start",
        use_savevm: bool = False,
    ) -> dict[str, Any]:
        """Start an episode; see GymEnv.reset."""
        self._session = None
        fields = {
            "seed": None if seed is None else int(seed),  # NumPy's integers too
            "use_cache": use_cache,
            "cache_level": cache_level,
            "use_savevm": use_savevm,
            "post_reset_policy": self.worker_reset_policy,
        }
        return self._observed(calls.reset(self.env_id, fields, timeout_s=self.timeout))

    def step(
        self,
        actions: Sequence[Mapping[str, Any]],
        wait_between_actions: float = 0.2,
        mark_done: bool = False,
        *,
        capture_observation: bool = True,
        settle_after_actions: bool = True,
        trajectory_metadata: dict[str, Any] | None = None,
    ) -> StepResult:
        """Inject actions; see GymEnv.step."""
        fields = {
            "actions": [dict(action) for action in actions],
            "wait_between_actions": wait_between_actions,
            "mark_done": mark_done,
            "capture_observation": capture_observation,
            "settle_after_actions": settle_after_actions,
            "trajectory_metadata": trajectory_metadata,
        }
        reply = self._send(calls.step(self.env_id, fields, timeout_s=self.timeout))
        return replies.read_step(reply, self._fetch)

    def close(self) -> None:
        """End the environment. Safe to call twice; a server that does not answer is logged, not raised."""
        if self._closed:
            return
        self._closed = True
        try:
            self._transport.send(calls.close(self.env_id))
        except (EnvNotFound, EnvLost) as error:
            logger.debug("the environment was gone already: %s", error)
        except GymQueueError as error:
            logger.warning(
                "environment %s was not closed, its worker will when it is idle: %s", self.env_id, error
            )
        finally:
            self._transport.close()
            if self._cache is not None:
                shutil.rmtree(self._cache, ignore_errors=True)

    def capture_observation(self) -> dict[str, Any]:
        """Return a fresh observation without a step."""
        return self._observed(calls.capture_observation(self.env_id, timeout_s=self.timeout))

    def capture_screenshot_image(self) -> Image.Image:
        """Return a fresh screenshot as an RGB image.

        Raises:
            BadReply: The environment has no screen.
        """
        screen = self.capture_observation().get("screen")
        if not isinstance(screen, Screen):
            raise BadReply(
                f"environment {self.env_id} shows no screen: its spec's observation has no rgb_screen"
            )
        return Image.open(io.BytesIO(screen.png())).convert("RGB")

    def log_trajectory_event(self, event: dict[str, Any]) -> None:
        """Append an event to the episode's trajectory."""
        self._post("trajectory_event", event=event)

    def fetch_path(self, remote_path: str, local_path: str | None = None) -> str:
        """Copy a file of the episode folder to this machine and return where it is.

        Args:
            remote_path: Absolute, or relative to the episode folder.
            local_path: Where to; None takes a temporary folder that ``close`` removes.
        """
        self._check_open()
        target = Path(local_path) if local_path else self._cached(PurePosixPath(remote_path).name)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._transport.download(self._fetch_call(remote_path), target)
        return str(target)

    def get_session_info(self) -> SessionInfo | None:
        """Return what runs behind the environment, asked once an episode; None before the first reset."""
        self._check_open()
        if self._session is None:
            reply = self._send(calls.get(self.env_id, "session_info", timeout_s=self.timeout))
            self._session = replies.read_model(replies.SessionReply, reply).session
        return self._session

    def set_episode_limits(self, *, max_steps: int | None = None, timeout_sec: float | None = None) -> None:
        """Change the episode's limits; None leaves one as it is."""
        given = {"max_steps": max_steps, "timeout_sec": timeout_sec}
        limits = parse_model(EpisodeLimits, given)
        self._post("episode_limits", **limits.model_dump())
        self._limits = self._limits.model_copy(update=limits.model_dump(exclude_none=True))

    def save_state(self, host_snapshot_path: str | Path | None = None) -> Path | None:
        """Save the environment's state; return where the snapshot is, on the worker."""
        wanted = str(host_snapshot_path) if host_snapshot_path else None
        return replies.read_model(
            replies.SavedState, self._post("save_state", host_snapshot_path=wanted)
        ).snapshot_path

    def load_state(self, host_snapshot_path: str | Path) -> None:
        """Go back to a saved state."""
        self._post("load_state", host_snapshot_path=str(host_snapshot_path))

    def pause_recording(self) -> None:
        """Stop recording until resumed."""
        self._post("pause_recording")

    def resume_recording(self) -> None:
        """Go on recording."""
        self._post("resume_recording")

    def copy_to_env(self, host_src: str, container_dst: str) -> None:
        """Copy a file of the worker into the sandbox."""
        self._post("copy_to_env", host_src=host_src, container_dst=container_dst)

    def copy_from_env(self, container_src: str, host_dst: str) -> None:
        """Copy a file of the sandbox to the worker."""
        self._post("copy_from_env", container_src=container_src, host_dst=host_dst)

    def set_roots(self, env_root: str | Path | None, task_root: str | Path | None) -> None:
        """Do nothing: the worker knows where verifiers are."""

    @property
    def episode_dir(self) -> Path | None:
        """The episode's folder, on the worker; None before the first reset."""
        session = self._session or self.get_session_info()
        return Path(session.artifacts_dir) if session and session.artifacts_dir else None

    @property
    def artifacts_dir(self) -> Path | None:
        """Another name of ``episode_dir``."""
        return self.episode_dir

    @property
    def runner_name(self) -> str | None:
        """The runner's name as session_info has it; None before the first reset."""
        session = self._session or self.get_session_info()
        return session.runner_name if session else None

    @property
    def max_steps(self) -> int | None:
        """Steps of an episode; None where this side does not know."""
        return self._limits.max_steps or (self.task_spec.init.max_steps if self.task_spec else None)

    @property
    def timeout_sec(self) -> float | None:
        """Seconds of an episode; None where this side does not know."""
        return self._limits.timeout_sec or (self.task_spec.init.timeout_sec if self.task_spec else None)

    @property
    def task_description(self) -> str:
        """What the agent is told; empty without a task, or where the task is known to the worker alone."""
        return self.task_spec.description if self.task_spec else ""

    def _check_open(self) -> None:
        if self._closed:
            raise EnvState(f"environment {self.env_id} was closed: open another")

    def _send(self, call: calls.Call) -> dict[str, Any]:
        self._check_open()
        return self._transport.send(call)

    def _post(self, name: str, **fields: Any) -> dict[str, Any]:
        return self._send(calls.post(self.env_id, name, fields, timeout_s=self.timeout))

    def _observed(self, call: calls.Call) -> dict[str, Any]:
        return replies.read_observation(self._send(call), self._fetch)

    def _fetch_call(self, remote_path: str) -> calls.Call:
        return calls.get(self.env_id, "fetch_path", timeout_s=self.timeout, path=remote_path)

    def _fetch(self, remote_path: str) -> bytes:
        self._check_open()
        return self._transport.read(self._fetch_call(remote_path))

    def _cached(self, name: str) -> Path:
        if self._cache is None:
            self._cache = Path(tempfile.mkdtemp(prefix="gym-queue-client-"))
        return self._cache / str(next(self._fetches)) / (name or "file")

    def __enter__(self) -> RemoteGymEnv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RemoteGymEnv(env_id={self.env_id!r}, remote_url={self.remote_url!r})"
