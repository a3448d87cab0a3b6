"""An open environment's calls, blocking: each runs the coroutine of the core, which then never suspends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gym_queue.client.core import RemoteCalls
from gym_queue.client.network import run_now
from gym_queue.client.opening import Opened
from gym_queue.protocol.sessions import SessionInfo
from gym_queue.protocol.surface import StepResult

if TYPE_CHECKING:
    from PIL import Image


class BlockingCalls:
    """An environment that was opened; every method of GymEnv.

    Args:
        opened: Of ``open_env`` over a BlockingNetwork.
    """

    def __init__(self, opened: Opened) -> None:
        core = self._core = RemoteCalls(opened, self._fetch)
        self.remote_url = core.remote_url
        self.env_spec, self.task_spec = core.env_spec, core.task_spec

    def reset(
        self,
        seed: int | None = None,
        use_cache: bool = False,
        cache_level: str = "pre_start",
        use_savevm: bool = False,
    ) -> dict[str, Any]:
        """Start an episode; see GymEnv.reset."""
        return run_now(self._core.reset(seed, use_cache, cache_level, use_savevm))

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
        return run_now(
            self._core.step(
                actions,
                wait_between_actions,
                mark_done,
                capture_observation=capture_observation,
                settle_after_actions=settle_after_actions,
                trajectory_metadata=trajectory_metadata,
            )
        )

    def close(self) -> None:
        """End the environment. Safe to call twice; a server that does not answer is logged, not raised."""
        run_now(self._core.close())

    def capture_observation(self) -> dict[str, Any]:
        """Return a fresh observation without a step."""
        return run_now(self._core.capture_observation())

    def capture_screenshot_image(self) -> Image.Image:
        """Return a fresh screenshot as an RGB image; raises BadReply when the environment has no screen."""
        return run_now(self._core.capture_screenshot_image())

    def log_trajectory_event(self, event: dict[str, Any]) -> None:
        """Append an event to the episode's trajectory."""
        run_now(self._core.log_trajectory_event(event))

    def fetch_path(self, remote_path: str, local_path: str | None = None) -> str:
        """Copy a file of the episode folder to this machine and return where it is.

        Args:
            remote_path: Absolute, or relative to the episode folder.
            local_path: Where to; None takes a temporary folder that ``close`` removes.
        """
        return run_now(self._core.fetch_path(remote_path, local_path))

    def get_session_info(self) -> SessionInfo | None:
        """Return what runs behind the environment, asked once an episode; None before the first reset."""
        return run_now(self._core.get_session_info())

    def set_episode_limits(self, *, max_steps: int | None = None, timeout_sec: float | None = None) -> None:
        """Change the episode's limits; None leaves one as it is."""
        run_now(self._core.set_episode_limits(max_steps=max_steps, timeout_sec=timeout_sec))

    def save_state(self, host_snapshot_path: str | Path | None = None) -> Path | None:
        """Save the environment's state; return where the snapshot is, on the worker."""
        return run_now(self._core.save_state(host_snapshot_path))

    def load_state(self, host_snapshot_path: str | Path) -> None:
        """Go back to a saved state."""
        run_now(self._core.load_state(host_snapshot_path))

    def pause_recording(self) -> None:
        """Stop recording until resumed."""
        run_now(self._core.pause_recording())

    def resume_recording(self) -> None:
        """Go on recording."""
        run_now(self._core.resume_recording())

    def copy_to_env(self, host_src: str, container_dst: str) -> None:
        """Copy a file of the worker into the sandbox."""
        run_now(self._core.copy_to_env(host_src, container_dst))

    def copy_from_env(self, container_src: str, host_dst: str) -> None:
        """Copy a file of the sandbox to the worker."""
        run_now(self._core.copy_from_env(container_src, host_dst))

    def upload(self, local: str | Path, inside: str) -> None:
        """Send a file of this machine into the sandbox; see GymEnv.upload."""
        run_now(self._core.upload(local, inside))

    def download(self, inside: str, local: str | Path) -> None:
        """Get a file of the sandbox onto this machine; see GymEnv.download."""
        run_now(self._core.download(inside, local))

    def set_roots(self, env_root: str | Path | None, task_root: str | Path | None) -> None:
        """Do nothing: the worker knows where verifiers are."""

    @property
    def env_id(self) -> str:
        """Of the environment that is driven now: another one after it was recreated."""
        return self._core.env_id

    @property
    def worker_id(self) -> str | None:
        """Its worker's; None where the server does not say."""
        return self._core.worker_id

    @property
    def worker_url(self) -> str | None:
        """Its worker's; None where the server does not say."""
        return self._core.worker_url

    @property
    def recreations(self) -> int:
        """How often it was lost and opened anew."""
        return self._core.recreations

    @property
    def timeout(self) -> float:
        """Seconds that any call may take."""
        return self._core.timeout

    @property
    def worker_reset_policy(self) -> str | None:
        """What every reset asks for; None leaves it to the worker."""
        return self._core.worker_reset_policy

    @property
    def is_straight(self) -> bool:
        """Whether calls go straight to the worker, not through the master."""
        return self._core.is_straight

    @property
    def episode_dir(self) -> Path | None:
        """The episode's folder, on the worker; None before the first reset."""
        return run_now(self._core.get_episode_dir())

    @property
    def artifacts_dir(self) -> Path | None:
        """Another name of ``episode_dir``."""
        return self.episode_dir

    @property
    def runner_name(self) -> str | None:
        """The runner's name as session_info has it; None before the first reset."""
        return run_now(self._core.get_runner_name())

    @property
    def max_steps(self) -> int | None:
        """Steps of an episode; None where this side does not know."""
        return self._core.max_steps

    @property
    def timeout_sec(self) -> float | None:
        """Seconds of an episode; None where this side does not know."""
        return self._core.timeout_sec

    @property
    def task_description(self) -> str:
        """What the agent is told; empty without a task, or where the task is known to the worker alone."""
        return self._core.task_description

    def _fetch(self, remote_path: str) -> bytes:
        return run_now(self._core.fetch_bytes(remote_path))
