"""Output folders, written as runs write them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from gym_queue.benchmark.agents.base import AgentTurn
from gym_queue.benchmark.attempt import Attempt, AttemptError, Key, Outcome
from gym_queue.benchmark.info import RunInfo, TaskInfo
from gym_queue.benchmark.output import RunFolder, attempt_folder, open_folder
from gym_queue.benchmark.recorder import FolderRecorder, Frames
from gym_queue.protocol.observations import Screen

HOSTILE = "</script><img src=x onerror=\"document.title='taken'\">"
LOST = AttemptError(code="env_lost", message="the environment env-1 is gone")
CRASH = AttemptError(code="agent_failed", message="the agent raised ValueError")
CLICK: dict[str, Any] = {"mouse": {"left_click": [40, 30]}}


def png(width: int = 320, height: int = 200) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (20, 60, 90)).save(out, "PNG")
    return out.getvalue()


def info(tasks: Sequence[str] = ("a", "b"), repeats: int = 1, **fields: Any) -> RunInfo:
    known = {"a": {"difficulty": "easy", "tags": ("x", "y")}, "b": {"difficulty": "hard", "tags": ("y",)}}
    config = {"env": "small", "agent": "Plain", "seed": 0, **fields.pop("config", {})}
    return RunInfo(
        **{
            "started_at": datetime(2026, 1, 2, tzinfo=UTC),
            "env_id": "small@1",
            "env_version": "1.0",
            **fields,
        },
        config=config,
        seeds=tuple(range(repeats)),
        tasks=tuple(TaskInfo(env="small", task_id=task, **known.get(task, {})) for task in tasks),
    )


def attempt(task: str, outcome: str = "passed", repeat: int = 0, **fields: Any) -> Attempt:
    scores = {"passed": 100, "failed": 25, "error": None}
    known = {"env": "small", "score": scores[outcome], "steps": 2, "seconds": 1.5, **fields}
    return Attempt(task_id=task, repeat=repeat, outcome=Outcome(outcome), **known)


def write(path: Path, attempts: Sequence[Attempt], run: RunInfo | None = None) -> RunFolder:
    folder = open_folder(path, run or info(), resume=False)
    for each in attempts:
        folder.append(each)
    folder.close()
    return folder


def play(folder: RunFolder, task: str, turns: Sequence[AgentTurn], frames: Frames = Frames.ALL) -> Path:
    """Record an attempt; return its folder."""
    own = folder.path / attempt_folder(Key("small", task))
    with FolderRecorder(own, frames) as recorder:
        recorder.reset({"screen": Screen({"png": png()})})
        for step, turn in enumerate(turns):
            told = {"verifier": {"passed": True, "checks": [1]}} if step == len(turns) - 1 else None
            recorder.step(step, turn, {"screen": Screen({"png": png()})}, reward=0.5, info=told)
        recorder.judge({"task_id": task})
    return own
