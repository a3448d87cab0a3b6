"""What the verifiers share: questions to the machine, asked as root, and verdicts."""

from __future__ import annotations

import hashlib
import shlex
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent / "scripts" / "files"
"""What the setup gave the machine."""
LAST_COMMAND = """\
calm=0
for look in $(seq 100); do
  if ps -eo pid=,sid=,tpgid=,tty=,stat=,comm= |
    awk '$1 == $2 && $4 ~ /^pts/ && $6 ~ /sh$/ && ($3 != $1 || $5 !~ /^S/) {busy = 1} END {exit busy}'
  then calm=$((calm + 1)); else calm=0; fi
  [ $calm -ge 2 ] && break
  sleep 0.2
done
"""
"""Waits for what was typed last, half a minute at most: until the shells in terminals wait for something to do."""


def inspect(env_info: Mapping[str, Any], **commands: str) -> dict[str, str]:
    """Run bash commands as root, one after the other in one shell, and return what each printed.

    Args:
        env_info: As the verifier got it.
        commands: Name → command, which sees the variables of those before it.

    Returns:
        Name → its standard output without the space around it; empty where there was none, or no root to be had.
    """
    mark = uuid.uuid4().hex
    parts = ["exec 2>/dev/null", *(f"echo; echo {mark} {name}\n{text}" for name, text in commands.items())]
    output = env_info["exec_capture"](shlex.join(["sudo", "-n", "bash", "--norc", "-c", "\n".join(parts)]))
    said = dict.fromkeys(commands, "")
    for part in output.split(f"{mark} ")[1:]:
        name, _, text = part.partition("\n")
        said[name] = text.strip()
    return said


def properties(text: str) -> dict[str, str]:
    """Return what ``systemctl show`` printed of one unit."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def number(text: str) -> int:
    """Return a number that a command printed; -1 when it printed none."""
    return int(text) if text.isascii() and text.isdigit() else -1


def sha256(content: bytes) -> str:
    """Return a digest as sha256sum prints it."""
    return hashlib.sha256(content).hexdigest()


def unchanged(sums: str, *names: str) -> bool:
    """Whether lines of sha256sum show files, by their last name, as the setup made them, all of them."""
    found = {Path(path).name: digest for digest, path in (each.split(None, 1) for each in sums.splitlines())}
    return found == {name: sha256((FILES / name).read_bytes()) for name in names}


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
