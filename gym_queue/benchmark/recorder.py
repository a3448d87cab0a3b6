"""An attempt's own folder: its trajectory, its frames, its verdict, its log; written as they come."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from gym_queue.benchmark.agents.base import AgentTurn
from gym_queue.benchmark.attempt import Key
from gym_queue.errors import GymQueueError, OutputFailed
from gym_queue.protocol.observations import Screen

logger = logging.getLogger(__name__)

TRAJECTORY, VERDICT, LOG, FRAMES = "trajectory.jsonl", "verdict.json", "agent.log", "frames"
OUTPUTS = (1, 2)
"""Standard output and error."""
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
        refused: str | None = None,
    ) -> None:
        """Keep a step and what came of it; ``info`` with the last one, and why its actions were refused if they were."""

    def judge(self, verdict: Mapping[str, Any]) -> None:
        """Keep what became of the try."""


class NoRecorder:
    """Keeps nothing."""

    def __init__(self, key: Key) -> None:
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
    """Keeps a try in a folder, and what its process logs meanwhile.

    Args:
        folder: Made anew.
        frames: Which screens to keep.
        clock: Seconds; the trajectory counts them from the first observation.
        with_output: Keep what the process writes to its standard output and error, too.

    Every method raises OutputFailed when the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        frames: Frames = Frames.ALL,
        clock: Callable[[], float] = time.monotonic,
        *,
        with_output: bool = False,
    ) -> None:
        self._folder, self._frames, self._clock = folder, frames, clock
        self._with_output = with_output
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
            if self._with_output:
                stack.enter_context(_output_to(self._folder / LOG))
            stack.enter_context(_log_to(self._folder / LOG))
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
        refused: str | None = None,
    ) -> None:
        """Keep a step, the screen after it, and with the last one the verifier's verdict."""
        line: dict[str, Any] = {"event": "step", "step": step, "actions": list(turn.actions)}
        line |= {"refused": refused} if refused is not None else {}
        line |= {"note": turn.note} if turn.note else {}
        self._log({**line, "done": turn.done, "reward": reward, "frame": self._keep(step + 1, observation)})
        if info is not None:
            self._verdict = info.get("verifier")

    def judge(self, verdict: Mapping[str, Any]) -> None:
        """Write what became of the try, with all that the verifier said."""
        write_verdict(self._folder, {**verdict, "verifier": self._verdict})

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


def write_verdict(folder: Path, verdict: Mapping[str, Any]) -> None:
    """Write what became of a try.

    Raises:
        OutputFailed: The folder cannot be written.
    """
    text = json.dumps(verdict, indent=2, ensure_ascii=False, default=str)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / VERDICT).write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Copy what is logged to a file for the length of a block."""
    handler = logging.FileHandler(path, delay=True, encoding="utf-8", errors="backslashreplace")
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Send what this process, and what it starts, writes to standard output and error to a file for the length of a block."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    kept = [os.dup(number) for number in OUTPUTS]
    try:
        _redirect([file] * len(OUTPUTS))
        yield
    finally:
        _redirect(kept)
        if os.fstat(file).st_size == 0:
            path.unlink(missing_ok=True)
        for number in (file, *kept):
            os.close(number)


def _redirect(files: Sequence[int]) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # what an agent closed, or a full disk does not take
            stream.flush()
    for number, file in zip(OUTPUTS, files, strict=True):
        os.dup2(file, number)
