"""Several verifiers in one: the program says, and where it leaves it open, the image or the model does."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.base import Verdict, VerifierRequest, parse_verdict
from gym_queue.verifiers.image import verify_image
from gym_queue.verifiers.program import run_program
from gym_queue.verifiers.vlm.checklist import verify_checklist


def verify_multi(request: VerifierRequest, spec: Mapping[str, Any]) -> Verdict:
    """Run the program; when it returns ``passed`` None, ``image_match`` decides, else ``vlm_checklist``.

    Returns:
        The verdict of mode ``multi``; ``decided_by`` names the verifier whose it is.

    Raises:
        VerifierFailed: One of them failed, or all that there are left it open.
    """
    program = spec.get("program")
    if isinstance(program, Mapping):
        program = program.get("program")
    began = time.monotonic()
    raw = run_program(request, program)
    if not _is_undecided(raw):
        return _as_multi(parse_verdict(raw, mode="program", where=str(program)))
    if "image_match" in spec:
        return _as_multi(verify_image(request, spec["image_match"]))
    if "vlm_checklist" in spec:
        return _as_multi(verify_checklist(_with_what_is_left(request, began), spec["vlm_checklist"]))
    raise VerifierFailed(
        f"the program {program} of task {request.task.id} left open whether it passed: success.spec needs an image_match or a vlm_checklist, which then decide"
    )


def _is_undecided(raw: object) -> bool:
    if not isinstance(raw, Mapping):
        return False
    return raw.get("decided") is False or ("passed" in raw and raw["passed"] is None)


def _with_what_is_left(request: VerifierRequest, began: float) -> VerifierRequest:
    left_s = max(0.001, request.limits.timeout_s - (time.monotonic() - began))
    return replace(request, limits=request.limits.model_copy(update={"timeout_s": left_s}))


def _as_multi(verdict: Verdict) -> Verdict:
    extras = {**verdict.extras, "decided_by": verdict.mode}
    return Verdict("multi", verdict.passed, verdict.score, verdict.feedback, extras)
