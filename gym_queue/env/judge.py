"""The end of an episode: post_task hook, final screenshot, verifier, reward."""

from __future__ import annotations

from typing import Any

from gym_queue.env.folder import EpisodeFolder
from gym_queue.env.hooks import run_hook
from gym_queue.env.source import EnvSource
from gym_queue.runners.base import Runner
from gym_queue.specs.task import TaskSpec
from gym_queue.verifiers import Verdict, VerifierLimits, VerifierRequest, verify


def judge(
    *,
    env_id: str,
    source: EnvSource,
    runner: Runner,
    folder: EpisodeFolder,
    variables: dict[str, str],
    limits: VerifierLimits,
) -> Verdict | None:
    """Finish an episode and return its verdict; None for an episode without a verifier.

    Raises:
        HookFailed: The post_task hook failed.
        VerifierFailed: The verifier raised, hung, or returned no verdict.
    """
    task = source.task
    if task is None:
        return None
    run_hook(runner, "post_task", task.hooks.post_task, timeout_s=task.hooks.pre_task_timeout)
    final = _screenshot(runner, folder, "final.png")
    trajectory = describe_trajectory(folder, final)
    verdict = verify(
        VerifierRequest(
            env_id=env_id,
            task=task,
            task_dir=source.task_dir,
            env_dir=source.env_dir,
            episode_dir=folder.path,
            trajectory=trajectory,
            runner=runner,
            variables=variables,
            limits=limits,
        )
    )
    _screenshot(runner, folder, "post_verification.png")
    return verdict


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


def reward(task: TaskSpec | None, verdict: Verdict | None) -> float:
    """Return what a verdict is worth: sparse 1 or 0, partial and rubric the score, continuous score/100."""
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
