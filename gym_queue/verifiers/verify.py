"""Judging a finished episode by its task's verifier, of whatever mode."""

from __future__ import annotations

from gym_queue.verifiers.base import Verdict, VerifierRequest
from gym_queue.verifiers.image import verify_image
from gym_queue.verifiers.mode import verifier_mode
from gym_queue.verifiers.multi import verify_multi
from gym_queue.verifiers.program import verify_program
from gym_queue.verifiers.vlm.checklist import verify_checklist


def verify(request: VerifierRequest) -> Verdict | None:
    """Judge a finished episode by its task's verifier, or the one that ``verifier_env`` names in its place.

    Returns:
        The verdict; None when the task names no verifier.

    Raises:
        VerifierFailed: The verifier raised, hung, returned no verdict, or lacks what it needs.
        NotSupported: There is no verifier of that mode.
    """
    success = request.task.success
    spec = success.spec if success else {}
    match verifier_mode(success, request.variables):
        case None:
            return None
        case "program":
            return verify_program(request, spec.get("program"))
        case "image_match":
            return verify_image(request, spec)
        case "multi":
            return verify_multi(request, spec)
        case "vlm_checklist":
            return verify_checklist(request, spec)
