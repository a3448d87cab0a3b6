"""What a verifier is asked, and what it may answer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from gym_queue.errors import VerifierFailed
from gym_queue.runners.base import Runner
from gym_queue.specs.task import TaskSpec

MAX_NESTING = 64
"""Deepest nesting of what a verifier returns."""


class VerifierLimits(BaseModel):
    """What one verification may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    timeout_s: float = Field(600.0, gt=0, le=86_400)
    """Wall time from its start to its verdict."""
    cpu_s: int = Field(600, ge=1)
    """CPU time of each of its processes, in whole seconds."""
    memory_bytes: int = Field(4 << 30, ge=64 << 20)
    """Address space of each of its processes."""
    file_bytes: int = Field(1 << 30, ge=0)
    """Size of each file it writes, and of all it copies into the sandbox at once."""
    processes: int = Field(128, ge=1)
    """Processes and threads at once, beside those that its user runs already."""
    user: str | None = None
    """User it runs as when this process is root: a name or a uid; None is one of its own, that nobody has."""


@dataclass(frozen=True, slots=True)
class VerifierRequest:
    """A finished episode, ready to be judged."""

    env_id: str
    task: TaskSpec
    task_dir: Path | None
    env_dir: Path | None
    episode_dir: Path
    trajectory: dict[str, Any]
    """``traj`` as SPECS names it: steps, frames, screenshots."""
    runner: Runner
    variables: Mapping[str, str] = field(default_factory=dict)
    """``verifier_env`` of the create call."""
    limits: VerifierLimits = field(default_factory=VerifierLimits)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier found."""

    mode: str
    passed: bool
    score: float
    """0 to 100."""
    feedback: str = ""
    extras: dict[str, Any] = field(default_factory=dict)

    def to_info(self) -> dict[str, Any]:
        """Return ``info["verifier"]``."""
        return {
            **self.extras,
            "mode": self.mode,
            "passed": self.passed,
            "score": self.score,
            "feedback": self.feedback,
        }


def parse_verdict(raw: object, *, mode: str, where: str) -> Verdict:
    """Check what a verifier returned.

    Args:
        raw: Its return value.
        mode: The verifier mode, for the verdict.
        where: The verifier's name, for errors.

    Raises:
        VerifierFailed: It is not ``{"passed": bool, "score": 0-100, "feedback": str}``.
    """
    if not isinstance(raw, Mapping) or not isinstance(raw.get("passed"), bool):
        raise VerifierFailed(
            f"the verifier {where} returned {raw!r:.200}: it must return a dict with passed: True or False"
        )
    passed = raw["passed"]
    score = raw.get("score", 100.0 if passed else 0.0)
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 100:
        raise VerifierFailed(
            f"the verifier {where} returned the score {score!r:.200}: it must be a number from 0 to 100"
        )
    extras = {str(key): value for key, value in raw.items() if key not in ("passed", "score", "feedback")}
    feedback = raw.get("feedback") or ""
    if not isinstance(feedback, str):
        raise VerifierFailed(
            f"the verifier {where} returned the feedback {feedback!r:.200}: it must be a text"
        )
    _check_plain(extras, where)
    return Verdict(
        mode, passed, float(score), plain_text(feedback), {plain_text(k): v for k, v in extras.items()}
    )


def _check_plain(extras: dict[str, Any], where: str) -> None:
    """See that what is handed on as it came fits every form of the wire."""
    todo: list[tuple[Any, int]] = [(extras, 0)]
    while todo:
        value, depth = todo.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise VerifierFailed(f"the verifier {where} returned {value}: its numbers must be finite")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise VerifierFailed(
                f"the verifier {where} returned an integer of more than 64 bits: return less"
            )
        if isinstance(value, str) and not value.isascii() and plain_text(value) != value:
            raise VerifierFailed(f"the verifier {where} returned a text that is not Unicode: decode it first")
        if depth > MAX_NESTING:
            raise VerifierFailed(f"the verifier {where} returned more than {MAX_NESTING} levels: return less")
        if isinstance(value, Mapping):
            todo += ((each, depth + 1) for pair in value.items() for each in pair)
        elif isinstance(value, list):
            todo += ((each, depth + 1) for each in value)


def plain_text(value: str) -> str:
    """Return a text with what is not Unicode, halves of surrogate pairs, replaced."""
    return value.encode("utf-8", "replace").decode()
