"""Program verifiers: a function of the task's author, run in a process of its own, confined, with a deadline."""

from __future__ import annotations

from typing import Any

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.base import Verdict, VerifierRequest, parse_verdict
from gym_queue.verifiers.session import ProgramSession


def verify_program(request: VerifierRequest, program: object) -> Verdict:
    """Run ``success.spec.program`` over the episode.

    Raises:
        VerifierFailed: No program is named, or it raised, exited, hung, or returned no verdict.
    """
    return parse_verdict(run_program(request, program), mode="program", where=str(program))


def run_program(request: VerifierRequest, program: object) -> Any:
    """Return what the function returned, as it is.

    Raises:
        VerifierFailed: No program is named, or it raised, exited or hung.
    """
    name = program_name(program)
    if name is None:
        raise VerifierFailed(
            f"the task {request.task.id} names no verifier: success.spec.program must be 'verifier.py::function' or 'module:function', not {program!r:.200}"
        )
    with ProgramSession(request, name, role="verifier") as session:
        raw = session.ask(question(request, name), timeout_s=request.limits.timeout_s)
        if session.calls.models.missing and isinstance(raw, dict):
            raw.setdefault("vlm_error", session.calls.models.missing)
        return raw


def program_name(program: object) -> str | None:
    """Return a function's name when it is one: ``file.py::function`` or ``module:function``."""
    return program if isinstance(program, str) and ":" in program else None


def question(request: VerifierRequest, program: str) -> dict[str, Any]:
    """Return what the author's process is told first."""
    return {
        "program": program,
        "task_dir": str(request.task_dir) if request.task_dir else None,
        "env_dir": str(request.env_dir) if request.env_dir else None,
        "traj": request.trajectory,
        "env_info": {
            "env_id": request.env_id,
            "episode_dir": str(request.episode_dir),
            "container": request.runner.info().container_name,
        },
        "task_info": {
            "task_id": request.task.id,
            "metadata": request.task.metadata,
            "task_spec": request.task.model_dump(mode="json"),
        },
        "variables": dict(request.variables),
    }
