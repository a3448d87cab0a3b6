"""An environment in this very process: the same surface as RemoteGymEnv, with no server."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any

from gym_queue.env.episode import Episode, EpisodeSetup, EpisodeState
from gym_queue.env.setup import local_vm_options
from gym_queue.env.source import load_source
from gym_queue.env.transfers import FILE_MODE, get_file, put_file, split_target, staging
from gym_queue.errors import EnvState, Forbidden, PathNotFound, RequestInvalid
from gym_queue.protocol.observations import with_screen
from gym_queue.protocol.parse import parse_model
from gym_queue.protocol.sessions import CreateRequest, EpisodeLimits, ResetRequest, SessionInfo, StepRequest
from gym_queue.protocol.surface import StepResult, prepare_target
from gym_queue.runners.base import VmOptions
from gym_queue.runners.registry import implemented_runners


class LocalGymEnv:
    """Drives an Episode of this process.

    Args:
        request: What to open.
        work_dir: Where the sandbox and the episodes' folders live; None makes a temporary folder, removed on close.
        vm: How virtual machines run; None is as the variables of VmSettings say.
    """

    def __init__(
        self, request: CreateRequest, work_dir: Path | None = None, *, vm: VmOptions | None = None
    ) -> None:
        self.env_id = request.env_id or str(uuid.uuid4())
        runners = [name for name in implemented_runners() if name != "fake"]
        source = load_source(request, [*runners, "fake"])
        self.env_spec, self.task_spec = source.spec, source.task
        self._owned = work_dir is None
        self._work_dir = work_dir or Path(tempfile.mkdtemp(prefix="gym-queue-env-"))
        try:
            setup = EpisodeSetup(
                self.env_id, source, self._work_dir, dict(request.verifier_env), vm=vm or local_vm_options()
            )
            self._episode = Episode(setup)
        except BaseException:
            self._remove_work_dir()
            raise

    def reset(
        self,
        seed: int | None = None,
        use_cache: bool = False,
        cache_level: str = "pre_start",
        use_savevm: bool = False,
    ) -> dict[str, Any]:
        """Start an episode; see GymEnv.reset."""
        fields = {"seed": seed, "use_cache": use_cache, "cache_level": cache_level, "use_savevm": use_savevm}
        return with_screen(self._episode.reset(parse_model(ResetRequest, fields))["observation"])

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
        reply = self._episode.step(parse_model(StepRequest, fields))
        return with_screen(reply["observation"]), reply["reward"], reply["done"], reply["info"]

    def close(self) -> None:
        """End the environment and remove what it made."""
        self._episode.close()
        self._remove_work_dir()

    def _remove_work_dir(self) -> None:
        if self._owned:
            shutil.rmtree(self._work_dir, ignore_errors=True)

    def capture_observation(self) -> dict[str, Any]:
        """Return a fresh observation without a step."""
        return with_screen(self._episode.capture_observation())

    def log_trajectory_event(self, event: dict[str, Any]) -> None:
        """Append an event to the trajectory."""
        self._episode.trajectory_event(event)

    def fetch_path(self, remote_path: str, local_path: str | None = None) -> str:
        """Return the file's path; it is on this machine already."""
        if local_path is None:
            return remote_path
        Path(local_path).parent.mkdir(parents=True, exist_ok=True)
        return str(shutil.copyfile(remote_path, local_path))

    def get_session_info(self) -> SessionInfo | None:
        """Return what runs behind the environment; None before the first reset."""
        return self._episode.session_info()

    def set_episode_limits(self, *, max_steps: int | None = None, timeout_sec: float | None = None) -> None:
        """Change the episode's limits; None leaves one as it is."""
        limits = {"max_steps": max_steps, "timeout_sec": timeout_sec}
        self._episode.set_limits(parse_model(EpisodeLimits, limits))

    def save_state(self, host_snapshot_path: str | Path | None = None) -> Path | None:
        """Keep the sandbox's state; return the file that names it."""
        return self._episode.save_state(Path(host_snapshot_path) if host_snapshot_path else None)

    def load_state(self, host_snapshot_path: str | Path) -> None:
        """Go back to a saved state."""
        self._episode.load_state(Path(host_snapshot_path))

    def pause_recording(self) -> None:
        """Film nothing until resumed."""
        self._episode.pause_recording()

    def resume_recording(self) -> None:
        """Film on."""
        self._episode.resume_recording()

    def copy_to_env(self, host_src: str, container_dst: str) -> None:
        """Copy a file of this machine into the sandbox."""
        self._episode.copy_to_env(Path(host_src), container_dst)

    def copy_from_env(self, container_src: str, host_dst: str) -> None:
        """Copy a file of the sandbox to this machine."""
        self._episode.copy_from_env(container_src, Path(host_dst))

    def upload(self, local: str | Path, inside: str) -> None:
        """Put a file of this machine into the sandbox; see GymEnv.upload."""
        source, (_, name) = Path(local), split_target(inside)
        if not source.exists():
            raise PathNotFound(f"there is no {source} on this machine to send")
        if not source.is_file():
            raise RequestInvalid(
                f"{source} is not a regular file: send single files, or pack the folder first"
            )
        with self._staging() as folder:
            try:
                shutil.copyfile(source, folder / name)
            except PermissionError as error:
                raise Forbidden(f"{source} of this machine may not be read: {error.strerror}") from error
            (folder / name).chmod(FILE_MODE)
            put_file(self._episode.copy_to_env, folder, inside)

    def download(self, inside: str, local: str | Path) -> None:
        """Copy a file of the sandbox to this machine; see GymEnv.download."""
        target = Path(local)
        prepare_target(target)
        with self._staging() as folder:
            get_file(self._episode.copy_from_env, inside, folder / "file")
            partial = target.with_name(f".{folder.name}.part")
            try:
                shutil.copyfile(folder / "file", partial)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)

    def open_view(self, *, control: bool) -> Path:
        """Serve the screen to viewers by RFB.

        Args:
            control: Whether their mice and keyboards act.

        Returns:
            A unix socket of this machine, for ``runners.display.viewer.connect_viewer``.

        Raises:
            NotSupported: The spec asks for no viewer, or the runner has none.
            Forbidden: Viewers may only look.
            RunnerFailed: The server did not come up.
        """
        return self._episode.open_view(control=control)

    def _staging(self) -> AbstractContextManager[Path]:
        if self._episode.state not in (EpisodeState.RUNNING, EpisodeState.DONE):
            raise EnvState(
                "the environment has no sandbox for files: call reset first, or open another when it was closed"
            )
        return staging(self._work_dir)

    @property
    def episode_dir(self) -> Path | None:
        """The episode's folder; None before the first reset."""
        return self._episode.episode_dir

    @property
    def task_description(self) -> str:
        """What the agent is told; empty without a task."""
        return self.task_spec.description if self.task_spec else ""

    def __enter__(self) -> LocalGymEnv:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def from_config(
    env_dir: str | Path,
    task_id: str | None = None,
    *,
    runner: str | None = None,
    work_dir: Path | None = None,
    vm: VmOptions | None = None,
) -> LocalGymEnv:
    """Open an environment folder in this process.

    Args:
        env_dir: A folder, or the name of an environment that ships.
        task_id: One of its tasks.
        runner: Overrides the spec's runner.
        work_dir: Kept after close; None makes a temporary folder that is removed.
        vm: How virtual machines run; None is as ``GYM_ANYTHING_ALLOW_EMULATION`` and ``GYM_ANYTHING_VM_IMAGE_DIR`` say.

    Raises:
        SpecNotFound: No such folder or task.
        SpecInvalid: A file does not follow the format.
        RunnerUnavailable: The environment's runner is not in this version.
    """
    return LocalGymEnv(CreateRequest(env_dir=str(env_dir), task_id=task_id, runner=runner), work_dir, vm=vm)


def make(
    env: Mapping[str, Any], task: Mapping[str, Any] | None = None, *, runner: str | None = None
) -> LocalGymEnv:
    """Open an environment from specs given as dicts.

    Raises:
        SpecInvalid: A spec does not follow the format.
        RequestInvalid: ``env`` is not a dict, or holds what JSON has no form for.
    """
    if not isinstance(env, Mapping):
        raise RequestInvalid(
            f"make takes a spec as a dict, not {type(env).__name__}: use from_config for a folder"
        )
    fields = {"env_spec": dict(env), "task_spec": dict(task) if task else None, "runner": runner}
    return LocalGymEnv(parse_model(CreateRequest, fields))
