from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_queue.env.episode import Episode, EpisodeSetup
from gym_queue.env.source import EnvSource
from gym_queue.protocol.sessions import ResetRequest, StepRequest
from gym_queue.runners.processes import find_processes
from gym_queue.specs.loader import parse_env, parse_task

ENV: dict[str, Any] = {
    "id": "unit",
    "observation": [{"type": "rgb_screen", "resolution": [64, 48]}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}


class Lab:
    """Episodes that end with the test, and a look at what they left."""

    def __init__(self, work_dir: Path) -> None:
        self.work_dir = work_dir
        self.env_id = str(uuid.uuid4())
        self.task_dir = work_dir / "task"
        self.task_dir.mkdir()
        self._opened: list[Episode] = []

    def open(
        self,
        *,
        env: dict[str, Any] | None = None,
        task: dict[str, Any] | None = None,
        verifier: str | None = None,
        runner: str = "fake",
        **setup: Any,
    ) -> Episode:
        """Open an episode of ENV and, where given, a task judged by ``verifier`` (the body of check)."""
        fields = {"id": "the_task", **(task or {})}
        if verifier is not None:
            code = f"def check(traj, env_info, task_info):\n    {verifier}\n"
            (self.task_dir / "verifier.py").write_text(code)
            fields["success"] = {"spec": {"program": "verifier.py::check"}}
        parsed = parse_task(fields, where="task") if task is not None or verifier is not None else None
        spec = parse_env({**ENV, **(env or {})}, where="env")
        source = EnvSource(spec, parsed, None, self.task_dir, runner)
        self._opened.append(Episode(EpisodeSetup(self.env_id, source, self.work_dir, **setup)))
        return self._opened[-1]

    def remains(self) -> list[object]:
        """Return the processes and files that are left of the sandbox."""
        sandbox = self.work_dir / "sandbox"
        return [*find_processes(self.env_id), *(sandbox.rglob("*") if sandbox.exists() else [])]

    def close(self) -> None:
        for episode in self._opened:
            episode.close()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made.close()
    assert made.remains() == []


def reset(episode: Episode, **fields: Any) -> dict[str, Any]:
    return episode.reset(ResetRequest(**fields))


def step(episode: Episode, *actions: dict[str, Any], **fields: Any) -> dict[str, Any]:
    fields = {"wait_between_actions": 0, **fields}
    return episode.step(StepRequest(actions=list(actions), **fields))


def finish(episode: Episode) -> dict[str, Any]:
    """Reset, declare the episode done, and return what that step returned."""
    reset(episode)
    return step(episode, mark_done=True)


def events_of(episode: Episode) -> list[dict[str, Any]]:
    assert episode.episode_dir is not None
    with (episode.episode_dir / "traj.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def files_of(episode: Episode) -> set[str]:
    assert episode.episode_dir is not None
    return {path.name for path in episode.episode_dir.iterdir()}
