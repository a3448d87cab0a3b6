"""Dense rewards: a function of the task's author, called after each step, in one confined process for an episode."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gym_queue.errors import SpecInvalid, VerifierFailed
from gym_queue.specs.task import TaskSpec
from gym_queue.verifiers.base import VerifierRequest
from gym_queue.verifiers.program import program_name, question
from gym_queue.verifiers.session import ProgramSession

STEP_TIMEOUT_S = 10.0
"""Limit of one call; a verifier's own limit holds where it is less."""
START_TIMEOUT_S = 60.0


def check_shaping(task: TaskSpec) -> str | None:
    """Return the function that gives a task's dense rewards; None for a task of another reward type.

    Raises:
        SpecInvalid: It names none.
    """
    if task.init.reward_type != "dense":
        return None
    shaping = task.init.reward_shaping
    name = program_name(shaping.get("program") if isinstance(shaping, Mapping) else shaping)
    if name is None:
        raise SpecInvalid(
            f"the task {task.id} has dense rewards: init.reward_shaping must be 'rewards.py::function' or 'module:function', not {shaping!r:.200}"
        )
    return name


class RewardShaping:
    """The function of one episode, kept alive between its steps.

    It is called ``function(traj, env_info, task_info)`` as verifiers are; ``traj`` grows by a step each time.

    Args:
        request: The episode as it begins.
        program: The function; see ``check_shaping``.

    Raises:
        VerifierFailed: It cannot be loaded.
    """

    def __init__(self, request: VerifierRequest, program: str) -> None:
        self._where = f"the reward_shaping {program} of task {request.task.id}"
        self._step_s = min(STEP_TIMEOUT_S, request.limits.timeout_s)
        self._session = ProgramSession(
            replace(request, trajectory=_growing(request.trajectory)), program, role="reward_shaping"
        )
        first = {**question(request, program), "each_step": True}
        self._session.ask(first, timeout_s=min(START_TIMEOUT_S, request.limits.timeout_s))

    def earned(self, event: Mapping[str, Any], frame: str | None) -> float:
        """Return what a step earned.

        Args:
            event: The step as the trajectory has it: ts, idx, action.
            frame: Path of the screen after it.

        Raises:
            VerifierFailed: The function raised, hung, or returned no finite number; its process has ended.
        """
        if frame is not None:
            self._session.show(frame)
        raw = self._session.ask({"event": dict(event), "frame": frame}, timeout_s=self._step_s)
        value = raw.get("reward") if isinstance(raw, Mapping) else raw
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            self._session.close()
            raise VerifierFailed(
                f"{self._where} returned {raw!r:.200}: it must return a finite number, or a dict with one under reward"
            )
        return float(value)

    def close(self) -> None:
        """End its process. Safe to call twice."""
        self._session.close()


def _growing(trajectory: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trajectory with every list that steps are added to."""
    return {"steps": [], "frames": [], "step_frames": {}, **trajectory}


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float holds
        return False
