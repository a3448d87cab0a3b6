"""What a verifier is asked, and what it may answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gym_queue.errors import VerifierFailed
from gym_queue.runners.base import Runner
from gym_queue.specs.task import TaskSpec


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
    timeout_s: float = 600.0


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
    return Verdict(mode, passed, float(score), str(raw.get("feedback") or ""), extras)
