"""An attempt's steps as the page shows them: short texts, and the frame that the agent saw before each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gym_queue.benchmark.recorder import TRAJECTORY

TEXT_CHARS = 400
"""Longest text in the page; the trajectory has it whole."""
ACTIONS_SHOWN = 50
"""Most actions of one step in the page."""
DEPTH = 6


def read_steps(folder: Path, *, max_bytes: int) -> tuple[list[dict[str, Any]], bool]:
    """Return an attempt's steps for the page.

    Args:
        folder: The attempt's.
        max_bytes: Stop before the steps take more than this as JSON.

    Returns:
        The steps, and whether they are all of them. The last one has no actions: it is the screen at the end.
    """
    steps: list[dict[str, Any]] = []
    frame, size = None, 0
    for line in _lines(folder / TRAJECTORY):
        if line.get("event") == "step":
            actions = line.get("actions")
            shown = _short(actions[:ACTIONS_SHOWN]) if isinstance(actions, list) else []
            step = {"frame": frame, "actions": shown, "note": _short(line.get("note") or "")}
            step |= {"refused": _short(line["refused"])} if line.get("refused") else {}
            size += len(json.dumps(step))
            if size > max_bytes:
                return steps, False
            steps.append(step)
        frame = line.get("frame") if isinstance(line.get("frame"), str) else None
    return [*steps, *([{"frame": frame, "actions": [], "note": ""}] if frame else [])], True


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines that are whole: a killed attempt's last one may not be."""
    try:
        file = path.open("rb")
    except OSError:
        return
    with file:
        for line in file:
            try:
                content = json.loads(line)
            except ValueError:
                continue
            if isinstance(content, dict):
                yield content


def _short(value: Any, depth: int = 0) -> Any:
    """Return a value with its texts cut to what a page can show."""
    if isinstance(value, str):
        return value if len(value) <= TEXT_CHARS else f"{value[:TEXT_CHARS]}… ({len(value)} characters)"
    if depth >= DEPTH:
        return "…"
    if isinstance(value, dict):
        return {str(key)[:TEXT_CHARS]: _short(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_short(each, depth + 1) for each in value]
    return value
