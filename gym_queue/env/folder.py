"""The episode's folder: frames, trajectory, summary."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_queue.errors import EnvState

FRAME = re.compile("[0-9]{5,9}")
"""A frame's number in its file name; callers may put files of other names into the folder."""


class EpisodeFolder:
    """Files of one episode, in the public layout (``frame_00000.png``, ``traj.jsonl``, ``summary.json``).

    Args:
        path: The folder; made when missing.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._trajectory = (path / "traj.jsonl").open(
            "a", encoding="utf-8", errors="backslashreplace"
        )  # a lone surrogate becomes the escape that JSON has for it

    def save_frame(self, index: int, png: bytes) -> Path:
        """Keep the screen as it was after step ``index``; 0 is the first observation."""
        return self.save(f"frame_{index:05d}.png", png)

    def save(self, name: str, png: bytes) -> Path:
        """Keep a screen under a name of its own."""
        target = self.path / name
        target.write_bytes(png)
        return target

    def log(self, event: str, **fields: Any) -> None:
        """Append one event, with the time, to the trajectory."""
        self.log_event({"event": event, "ts": time.time(), **fields})

    def log_event(self, event: Mapping[str, Any]) -> None:
        """Append an event as it is.

        Raises:
            EnvState: The episode was closed meanwhile.
        """
        line = json.dumps(event, ensure_ascii=False, default=str) + "\n"
        try:
            self._trajectory.write(line)
            self._trajectory.flush()
        except ValueError as error:  # the file is closed
            raise EnvState("the environment was closed during this call: create a new one") from error

    def events(self) -> list[dict[str, Any]]:
        """Return all the events logged so far."""
        with (self.path / "traj.jsonl").open(encoding="utf-8", newline="\n") as lines:
            return [json.loads(line) for line in lines]

    def frames(self) -> dict[int, Path]:
        """Return the kept frames by index, in order."""
        found = {path.stem.removeprefix("frame_"): path for path in self.path.glob("frame_*.png")}
        return {
            index: found[digits] for index, digits in sorted((int(d), d) for d in found if FRAME.fullmatch(d))
        }

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        text = json.dumps(summary, ensure_ascii=False, indent=2, default=str)
        (self.path / "summary.json").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    def close(self) -> None:
        """Close the trajectory."""
        self._trajectory.close()
