"""What every environment offers its user, local or remote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gym_queue.protocol.sessions import SessionInfo

StepResult = tuple[dict[str, Any], float, bool, dict[str, Any]]
"""observation, reward, done, info."""


class GymEnv(Protocol):
    """An environment as agents drive it; ``gym_queue.from_config`` and ``RemoteGymEnv`` both are one."""

    def reset(
        self,
        seed: int | None = None,
        use_cache: bool = False,
        cache_level: str = "pre_start",
        use_savevm: bool = False,
    ) -> dict[str, Any]:
        """Start an episode and return its first observation."""

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
        """Inject actions; return observation, reward, done, info."""

    def close(self) -> None:
        """End the environment. Safe to call twice."""

    def capture_observation(self) -> dict[str, Any]:
        """Return a fresh observation without a step."""

    def log_trajectory_event(self, event: dict[str, Any]) -> None:
        """Append an event to the episode's trajectory."""

    def fetch_path(self, remote_path: str, local_path: str | None = None) -> str:
        """Copy a file of the episode folder to this machine and return where it is."""

    def get_session_info(self) -> SessionInfo | None:
        """Return what runs behind the environment; None before the first reset."""

    def set_episode_limits(self, *, max_steps: int | None = None, timeout_sec: float | None = None) -> None:
        """Change the episode's limits; None leaves one as it is."""

    def save_state(self, host_snapshot_path: str | Path | None = None) -> Path | None:
        """Save the environment's state; return where the snapshot is."""

    def load_state(self, host_snapshot_path: str | Path) -> None:
        """Go back to a saved state."""

    def pause_recording(self) -> None:
        """Stop recording until resumed."""

    def resume_recording(self) -> None:
        """Go on recording."""

    def copy_to_env(self, host_src: str, container_dst: str) -> None:
        """Copy a file of the environment's host into the sandbox."""

    def copy_from_env(self, container_src: str, host_dst: str) -> None:
        """Copy a file of the sandbox to the environment's host."""

    @property
    def episode_dir(self) -> Path | None:
        """The episode's folder, on the environment's host; None before the first reset."""

    @property
    def task_description(self) -> str:
        """What the agent is told; empty without a task."""
