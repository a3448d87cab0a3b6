"""What an episode earns: after each step, and at its end by post_task hook, final screenshot, verifier."""

from __future__ import annotations

from typing import Any

from gym_queue.env.folder import EpisodeFolder
from gym_queue.env.hooks import run_hook
from gym_queue.env.source import EnvSource
from gym_queue.errors import NotSupported
from gym_queue.runners.base import Runner
from gym_queue.specs.task import TaskSpec
from gym_queue.verifiers import Verdict, VerifierLimits, VerifierRequest, verifier_mode
from gym_queue.verifiers.shaping import RewardShaping, check_shaping
from gym_queue.verifiers.verify import verify


class Judge:
    """What an environment's episodes earn: after each step, and at the end.

    Args:
        env_id: The environment.
        source: Its spec and task.
        variables: ``verifier_env`` of the create call.
        limits: What a verifier may use.

    Raises:
        NotSupported: There is no verifier of the mode that is asked for.
        SpecInvalid: The task has dense rewards and names no function for them.
    """

    def __init__(
        self, env_id: str, source: EnvSource, variables: dict[str, str], limits: VerifierLimits
    ) -> None:
        self._env_id, self._source = env_id, source
        self._variables, self._limits = variables, limits
        self._task = source.task
        self._shaping: RewardShaping | None = None
        self._program = check_shaping(self._task) if self._task else None
        if self._task is not None:
            verifier_mode(self._task.success, variables)
            if self._task.init.init_pyautogui:
                raise NotSupported(
                    f"the task {self._task.id} has init_pyautogui, which is for Windows and not in this version: use init_script"
                )

    def begin(self, runner: Runner, folder: EpisodeFolder) -> None:
        """Start what judges each step of a task with dense rewards.

        Raises:
            VerifierFailed: Its function cannot be loaded.
        """
        self.end()
        if self._program is not None:
            request = self._request(runner, folder, describe_trajectory(folder, None))
            self._shaping = RewardShaping(request, self._program)

    def step(self, folder: EpisodeFolder, event: dict[str, Any], observation: dict[str, Any]) -> float:
        """Return what a step earned by itself: 0 but for dense rewards.

        Raises:
            VerifierFailed: The function failed.
        """
        if self._shaping is None:
            return 0.0
        folder.flush()
        return self._shaping.earned(event, observation.get("screen", {}).get("path"))

    def finish(self, runner: Runner, folder: EpisodeFolder) -> Verdict | None:
        """Finish an episode and return its verdict; None for an episode without a verifier.

        Raises:
            HookFailed: The post_task hook failed.
            VerifierFailed: The verifier raised, hung, or returned no verdict.
        """
        self.end()
        task = self._task
        if task is None:
            return None
        run_hook(runner, "post_task", task.hooks.post_task, timeout_s=task.hooks.pre_task_timeout)
        final = _screenshot(runner, folder, "final.png")
        verdict = verify(self._request(runner, folder, describe_trajectory(folder, final)))
        _screenshot(runner, folder, "post_verification.png")
        return verdict

    def end(self) -> None:
        """End what judges each step. Safe to call twice, and from another thread."""
        shaping, self._shaping = self._shaping, None
        if shaping is not None:
            shaping.close()

    def _request(self, runner: Runner, folder: EpisodeFolder, trajectory: dict[str, Any]) -> VerifierRequest:
        source = self._source
        assert source.task is not None  # noqa: S101  nobody judges without a task
        return VerifierRequest(
            env_id=self._env_id,
            task=source.task,
            task_dir=source.task_dir,
            env_dir=source.env_dir,
            episode_dir=folder.path,
            trajectory=trajectory,
            runner=runner,
            variables=self._variables,
            limits=self._limits,
        )


def describe_trajectory(folder: EpisodeFolder, final: str | None) -> dict[str, Any]:
    """Return ``traj`` as verifiers get it (SPECS.md, "Verifiers")."""
    frames = folder.frames()
    paths = [str(path) for path in frames.values()]
    steps = [event for event in folder.events() if _is_step(event)]
    return {
        "steps": steps,
        "episode_dir": str(folder.path),
        "frames": paths,
        "first_frame": paths[0] if paths else None,
        "last_frame": paths[-1] if paths else None,
        "final_screenshot": final,
        "post_verification_screenshot": str(folder.path / "post_verification.png"),
        "step_frames": {
            step["idx"]: str(frames[step["idx"] + 1]) for step in steps if step["idx"] + 1 in frames
        },
    }


def _is_step(event: dict[str, Any]) -> bool:
    """Whether this is our record of a step: callers may log events of any name and shape."""
    return event.get("event") == "step" and isinstance(event.get("idx"), int)


def reward(task: TaskSpec | None, verdict: Verdict | None, *, step: float) -> float:
    """Return what an episode's last step is worth.

    Args:
        task: Says how: sparse 1 or 0, partial and rubric the score, continuous score/100, dense what the step earned.
        verdict: The verifier's; None is worth nothing.
        step: What the step earned by itself.
    """
    if task is not None and task.init.reward_type == "dense":
        return step
    if task is None or verdict is None:
        return 0.0
    if task.init.reward_type in ("partial", "rubric"):
        return verdict.score
    if task.init.reward_type == "continuous":
        return verdict.score / 100
    return 1.0 if verdict.passed else 0.0


def _screenshot(runner: Runner, folder: EpisodeFolder, name: str) -> str | None:
    png = runner.observe().png
    return str(folder.save(name, png)) if png is not None else None
