"""How an episode shows itself: observations by modality, timings by phase."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gym_queue.runners.base import Observation


def describe(seen: Observation, path: Path | str | None) -> dict[str, Any]:
    """Return an observation by modality; ``screen.png`` holds the image's bytes.

    Args:
        seen: What the runner saw.
        path: Where the frame was kept.
    """
    found: dict[str, Any] = {}
    if seen.png is not None:
        found["screen"] = {"path": str(path), "resolution": list(seen.resolution), "png": seen.png}
    if seen.cli_stdout is not None:
        found["cli_stdout"] = {"text": seen.cli_stdout}
    if seen.ui_tree is not None:
        found["ui_tree"] = {"text": seen.ui_tree}
    return found


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Write how long the block took, in seconds, under ``name``."""
    start = time.perf_counter()
    try:
        yield
    finally:
        timings[name] = round(time.perf_counter() - start, 4)
