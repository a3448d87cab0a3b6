"""Verifiers judge a finished episode."""

from __future__ import annotations

from gym_queue.errors import NotSupported
from gym_queue.verifiers.base import Verdict, VerifierLimits, VerifierRequest
from gym_queue.verifiers.program import verify_program

__all__ = ["Verdict", "VerifierLimits", "VerifierRequest", "check_supported", "verify"]


def check_supported(mode: str | None) -> None:
    """Refuse, before an episode starts, a task that could not be judged at its end.

    Raises:
        NotSupported: This version has no verifier of that mode.
    """
    if mode not in (None, "program"):
        raise NotSupported(
            f"the verifier mode {mode} is not in this version: only program is; choose another task"
        )


def verify(request: VerifierRequest) -> Verdict | None:
    """Judge a finished episode by its task's verifier.

    Returns:
        The verdict; None when the task names no verifier.

    Raises:
        VerifierFailed: The verifier raised, hung, or returned no verdict.
        NotSupported: This version has no verifier of the task's mode.
    """
    success = request.task.success
    if success is None or success.mode is None:
        return None
    check_supported(success.mode)
    return verify_program(request)
