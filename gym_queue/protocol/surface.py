"""What every environment offers its user, local or remote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gym_queue.errors import RequestInvalid
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

    def upload(self, local: str | Path, inside: str) -> None:
        """Put a file of this machine into the sandbox, with mode 0644, in the place of the one that is there.

        It is sent as it is read, and copied inside once it is there whole; missing folders are made.

        Args:
            local: The file, here.
            inside: Where it is to be: relative to the sandbox's home folder, or absolute.

        Raises:
            PathNotFound, Forbidden: It cannot be read here, or cannot be there.
            RequestInvalid: It is not a regular file; NotSupported: inside there is a folder.
            TooLarge: It has more bytes than one copy may take.
        """

    def download(self, inside: str, local: str | Path) -> None:
        """Copy a file of the sandbox to this machine, where it appears once it is whole; missing folders are made.

        Args:
            inside: The file: relative to the sandbox's home folder, or absolute.
            local: Where to, here.

        Raises:
            PathNotFound, Forbidden: It is not there, or outside the sandbox.
            NotSupported: It is a folder.
            RequestInvalid: ``local`` cannot be written.
            TooLarge: It has more bytes than one copy may take.
        """

    @property
    def episode_dir(self) -> Path | None:
        """The episode's folder, on the environment's host; None before the first reset."""

    @property
    def task_description(self) -> str:
        """What the agent is told; empty without a task."""


def prepare_target(local: Path) -> None:
    """Make the folders above a file that is to be downloaded.

    Raises:
        RequestInvalid: It is a folder, or they cannot be made.
    """
    try:
        local.parent.mkdir(parents=True, exist_ok=True)
        is_folder = local.is_dir()
    except (OSError, ValueError) as error:
        raise RequestInvalid(f"{local} cannot be written on this machine: {error}") from error
    if is_folder:
        raise RequestInvalid(f"{local} is a folder of this machine: name the file to write")
