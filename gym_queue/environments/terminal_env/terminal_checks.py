"""What the verifiers share: files of the sandbox, the task's files made afresh, verdicts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

SCRIPTS = Path(__file__).parent / "scripts"


def read_bytes(env_info: Mapping[str, Any], path: str) -> bytes | None:
    """Return a file of the sandbox, ``path`` seen from its home; None when it has none, or none to read."""
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        try:
            env_info["copy_from_env"](path, str(copy))
        except (FileNotFoundError, PermissionError):
            return None
        return copy.read_bytes() if copy.is_file() else None


def read_file(env_info: Mapping[str, Any], path: str) -> str | None:
    """Return a text file of the sandbox as ``read_bytes`` does; bytes that are not UTF-8 are replaced."""
    content = read_bytes(env_info, path)
    return None if content is None else content.decode(errors="replace")


def answer(env_info: Mapping[str, Any], path: str) -> str:
    """Return a one-line answer file without the space around it; empty when it is missing."""
    return (read_file(env_info, path) or "").strip()


@contextmanager
def pristine(env_info: Mapping[str, Any], task: str) -> Iterator[Path]:
    """Make the task's files again, in a folder that the agent never saw, and yield the folder.

    Args:
        env_info: As the verifier got it.
        task: Name of the script that makes the files.
    """
    seed = _seed(Path(env_info["episode_dir"], "traj.jsonl"))
    with TemporaryDirectory() as home:
        variables = {"PATH": os.environ["PATH"], "HOME": home, "GYM_SEED": str(seed), "GYM_TRUTH": "1"}
        command = ["bash", str(SCRIPTS / "setup.sh"), task]
        subprocess.run(command, env=variables, check=True, capture_output=True, timeout=60)
        yield Path(home)


def _seed(trajectory: Path) -> int:
    """Return the seed of the episode's reset, from where the agent cannot change it."""
    events = (json.loads(line) for line in trajectory.read_text(encoding="utf-8").splitlines())
    return next((event.get("seed") or 0 for event in events if event.get("event") == "reset"), 0)


def verdict(goals: Mapping[str, bool], kept: Mapping[str, bool] | None = None) -> dict[str, Any]:
    """Score an episode.

    Args:
        goals: What the task asks for, in words → whether it holds; each is worth the same.
        kept: What must not have been broken on the way → whether it still holds; a breach halves the score.

    Returns:
        What a verifier returns; passed only when everything holds.
    """
    kept = kept or {}
    failed = [text for text, holds in {**goals, **kept}.items() if not holds]
    score = 100 * sum(goals.values()) / len(goals)
    if not all(kept.values()):
        score /= 2
    feedback = "Not so: " + "; ".join(failed) if failed else "All as asked."
    return {"passed": not failed, "score": round(score, 1), "feedback": feedback}
