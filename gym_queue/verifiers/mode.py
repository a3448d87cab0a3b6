"""Which verifier judges a task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast, get_args

from gym_queue.errors import NotSupported
from gym_queue.specs.task import Success, SuccessMode

VERIFIER_MODE = "GYM_ANYTHING_VERIFIER_MODE"
TASKS_OWN = ("", "task", "task_json", "default", "auto")
"""Values of the variable that leave the choice to the task."""


def verifier_mode(success: Success | None, variables: Mapping[str, str]) -> SuccessMode | None:
    """Return the mode that ``verifier_env`` names, else the task's; None for a task that nobody judges.

    Raises:
        NotSupported: There is no such mode.
    """
    named = variables.get(VERIFIER_MODE, "").strip().lower().replace("-", "_")
    if named in TASKS_OWN:
        return success.mode if success else None
    known = get_args(SuccessMode)
    if named not in known:
        raise NotSupported(
            f"{VERIFIER_MODE} is {named!r:.200}: it must be {', '.join(known)}, or task for the task's own"
        )
    return cast(SuccessMode, named)


def check_supported(mode: str | None) -> None:
    """Refuse, before an episode starts, a mode that no verifier of this version has.

    Raises:
        NotSupported: There is no such mode.
    """
    if mode is not None and mode not in get_args(SuccessMode):
        raise NotSupported(f"the verifier mode {mode} is not in this version: choose another task")
