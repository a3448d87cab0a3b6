"""What the verifiers share: files of the desktop, the task's own files, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FILES = Path(__file__).parent / "scripts" / "files"
"""What the setup gave the desktop."""


def read_bytes(env_info: Mapping[str, Any], path: str) -> bytes | None:
    """Return a file of the desktop, ``path`` seen from its user's home; None when there is none to read."""
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy")
        try:
            env_info["copy_from_env"](path, str(copy))
        except (FileNotFoundError, PermissionError):
            return None
        return copy.read_bytes() if copy.is_file() else None


def read_text(env_info: Mapping[str, Any], path: str) -> str | None:
    """Return a text file of the desktop as ``read_bytes`` does; bytes that are not UTF-8 are replaced."""
    content = read_bytes(env_info, path)
    return None if content is None else content.decode(errors="replace")


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
