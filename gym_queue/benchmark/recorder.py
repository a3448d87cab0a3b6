"""An attempt's own folder: its trajectory, its frames, its verdict, its log; written as they come."""

from __future__ import annotations

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from gym_queue.benchmark.agents.base import AgentTurn
from gym_queue.errors import GymQueueError, OutputFailed
from gym_queue.protocol.observations import Screen

logger = logging.getLogger(__name__)

TRAJECTORY, VERDICT, LOG, FRAMES = "trajectory.jsonl", "verdict.json", "agent.log", "frames"
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


class Frames(StrEnum):
    """Which of an attempt's screens are kept."""

    ALL = "all"  # each as the agent saw it, and the last one
    LAST = "last"  # the one that the attempt ended with
    NONE = "none"


class Recorder(Protocol):
    """Keeps one try of an attempt; a context manager around it."""

    def __enter__(self) -> Recorder:
        """Begin anew: what an earlier try left is dropped."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""

    def reset(self, observation: Mapping[str, Any]) -> None:
        """Keep the first observation."""

    def step(
        self,
        step: int,
        turn: AgentTurn,
        observation: Mapping[str, Any],
        *,
        reward: float,
        info: Mapping[str, Any] | None,
    ) -> None:
        """Keep a step and what came of it; ``info`` with the last one."""

    def judge(self, verdict: Mapping[str, Any]) -> None:
        """Keep what became of the try."""


class NoRecorder:
    """Keeps nothing."""

    def __init__(self, task_id: str, repeat: int) -> None:
        """Take what a recorder is made of."""

    def __enter__(self) -> Self:
        """Nothing begins."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing ends."""

    def reset(self, observation: Mapping[str, Any]) -> None:
        """Drop it."""

    def step(self, *_: object, **__: object) -> None:
        """Drop it."""

    def judge(self, verdict: Mapping[str, Any]) -> None:
        """Drop it."""


class FolderRecorder:
    """Keeps a try in a folder; used by one thread, whose log lines are the agent's.

    Args:
        folder: Made anew.
        frames: Which screens to keep.
        clock: Seconds; the trajectory counts them from the first observation.

    Every method raises OutputFailed when the folder cannot be written.
    """

    def __init__(
        self, folder: Path, frames: Frames = Frames.ALL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder, self._frames, self._clock = folder, frames, clock
        self._started = clock()
        self._stack = ExitStack()
        self._trajectory: IO[str]
        self._last: tuple[str, bytes] | None = None
        self._verdict: Any = None

    def __enter__(self) -> Self:
        with writing(self._folder), ExitStack() as stack:
            if self._folder.exists():
                shutil.rmtree(self._folder)
            (self._folder / FRAMES).mkdir(parents=True)
            path = self._folder / TRAJECTORY
            self._trajectory = stack.enter_context(
                path.open("w", encoding="utf-8", errors="backslashreplace")
            )
            stack.enter_context(_log_of_thread(self._folder / LOG))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with writing(self._folder), self._stack:
            if self._last is not None:
                self._write_frame(*self._last)

    def reset(self, observation: Mapping[str, Any]) -> None:
        """Keep the first observation."""
        self._started = self._clock()
        self._log({"event": "reset", "frame": self._keep(0, observation)})

    def step(
        self,
        step: int,
        turn: AgentTurn,
        observation: Mapping[str, Any],
        *,
        reward: float,
        info: Mapping[str, Any] | None,
    ) -> None:
        """Keep a step, the screen after it, and with the last one the verifier's verdict."""
        line: dict[str, Any] = {"event": "step", "step": step, "actions": list(turn.actions)}
        line |= {"note": turn.note} if turn.note else {}
        self._log({**line, "done": turn.done, "reward": reward, "frame": self._keep(step + 1, observation)})
        if info is not None:
            self._verdict = info.get("verifier")

    def judge(self, verdict: Mapping[str, Any]) -> None:
        """Write what became of the try, with all that the verifier said."""
        content = {**verdict, "verifier": self._verdict}
        text = json.dumps(content, indent=2, ensure_ascii=False, default=str)
        with writing(self._folder):
            (self._folder / VERDICT).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")

    def _keep(self, index: int, observation: Mapping[str, Any]) -> str | None:
        screen = observation.get("screen")
        if self._frames is Frames.NONE or not isinstance(screen, Screen):
            return None
        try:
            png = screen.png()
        except GymQueueError as error:  # the agent's own look at it decides what becomes of the attempt
            logger.warning("frame %s cannot be kept: %s", index, error)
            return None
        name = f"{FRAMES}/frame_{index:05d}.png"
        if self._frames is Frames.LAST:
            self._last = (name, png)
        else:
            self._write_frame(name, png)
        return name

    def _write_frame(self, name: str, png: bytes) -> None:
        with writing(self._folder):
            (self._folder / name).write_bytes(png)

    def _log(self, line: Mapping[str, Any]) -> None:
        seconds = round(self._clock() - self._started, 4)
        with writing(self._folder):
            self._trajectory.write(
                json.dumps({**line, "seconds": seconds}, ensure_ascii=False, default=str) + "\n"
            )
            self._trajectory.flush()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into one sentence.

    Raises:
        OutputFailed: It refused.
    """
    try:
        yield
    except OSError as error:
        raise OutputFailed(
            f"the output {path} cannot be written: {error.strerror}; make room, then run the same command again with --resume"
        ) from error


@contextmanager
def _log_of_thread(path: Path) -> Iterator[None]:
    """Copy what this thread logs to a file for the length of a block."""
    thread = threading.get_ident()
    handler = logging.FileHandler(path, delay=True, encoding="utf-8", errors="backslashreplace")
    handler.addFilter(lambda record: record.thread == thread)
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()
