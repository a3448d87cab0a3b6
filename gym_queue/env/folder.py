"""The episode's folder: frames, trajectory, summary."""

from __future__ import annotations

import json
import os
import re
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gym_queue.env.spool import FrameSpool
from gym_queue.errors import EnvState, RequestInvalid

VIDEO = "recording.mp4"
FRAME = re.compile("[0-9]{5,9}")
"""A frame's number in its file name; callers may put files of other names into the folder."""


class EpisodeFolder:
    """Files of one episode, in the public layout (``frame_00000.png``, ``traj.jsonl``, ``summary.json``).

    Args:
        path: The folder; made when missing.
        lazy_frames: Make files of the frames only when ``flush`` or ``frames`` asks for them.
        keeps_frames: Leave those that nobody asked for in the folder, as a spool, when it is closed.
        max_frames: Frames kept, besides the first; for a further one the oldest goes. None keeps all.
    """

    def __init__(
        self,
        path: Path,
        *,
        lazy_frames: bool = False,
        keeps_frames: bool = False,
        max_frames: int | None = None,
    ) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._trajectory = (path / "traj.jsonl").open(
            "a", encoding="utf-8", errors="backslashreplace"
        )  # a lone surrogate becomes the escape that JSON has for it
        self._spool = FrameSpool(path, is_kept=keeps_frames) if lazy_frames else None
        self._to_json = json.JSONEncoder(ensure_ascii=False, default=str, allow_nan=False).encode
        self._prefix = f"{path}{os.sep}"
        self._max_frames = max_frames
        self._latest: deque[str] = deque()

    def save_frame(self, index: int, png: bytes) -> str:
        """Keep the screen as it was after step ``index``, 0 being the first observation; return its path."""
        name = f"frame_{index:05d}.png"
        if index and self._max_frames is not None and (not self._latest or self._latest[-1] != name):
            self._latest.append(name)
            if len(self._latest) > self._max_frames:
                self._drop(self._latest.popleft())
        if self._spool is None:
            return str(self.save(name, png))
        self._spool.add(name, png)
        return self._prefix + name

    def _drop(self, name: str) -> None:
        if self._spool is None or not self._spool.drop(name):
            (self.path / name).unlink(missing_ok=True)

    def unwritten(self) -> dict[str, int]:
        """Return the frames that are no files yet, with their sizes in bytes; any thread may ask."""
        return self._spool.sizes() if self._spool is not None else {}

    def flush(self) -> None:
        """Make files of all the frames kept so far."""
        if self._spool is not None:
            self._spool.write_out()

    def save(self, name: str, png: bytes) -> Path:
        """Keep a screen under a name of its own."""
        target = self.path / name
        target.write_bytes(png)
        return target

    def log(self, event: str, **fields: Any) -> dict[str, Any]:
        """Append one event, with the time, to the trajectory, and return it."""
        logged = {"event": event, "ts": time.time(), **fields}
        self.log_event(logged)
        return logged

    def log_event(self, event: Mapping[str, Any]) -> None:
        """Append an event as it is.

        Raises:
            EnvState: The episode was closed meanwhile.
        """
        try:
            line = self._to_json(event) + "\n"
        except ValueError as error:
            raise RequestInvalid(f"the event is not JSON: {error}; send finite numbers") from error
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
        self.flush()
        found = {path.stem.removeprefix("frame_"): path for path in self.path.glob("frame_*.png")}
        return {
            index: found[digits] for index, digits in sorted((int(d), d) for d in found if FRAME.fullmatch(d))
        }

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write ``summary.json``."""
        text = json.dumps(summary, ensure_ascii=False, indent=2, default=str)
        (self.path / "summary.json").write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    def close(self) -> None:
        """Close the trajectory, and drop frames that nobody asked for, unless they are kept."""
        self._trajectory.close()
        if self._spool is not None:
            self._spool.close()
