"""A small environment, and agents from another package."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.nursery import Nursery
from gym_queue.benchmark.results import Results
from gym_queue.benchmark.run import run_benchmark

AGENTS = (
    *("Plain", "Counting", "Raising", "Exiting", "Leaving", "Crashing", "Killed", "Hanging", "Printing"),
    *("Nonsense", "Corrected", "Denied", "Interrupting", "Meeting", "Stray", "Absent"),
)
VERIFIER = """
def verify(traj, env_info, task_info):
    said = env_info["exec_capture"]("cat answer.txt 2>/dev/null").strip()
    passed = said == task_info["metadata"]["answer"]
    return {"passed": passed, "score": 100 if passed else 25, "feedback": f"the answer is {said or 'missing'}"}
"""


def type_line(text: str) -> list[dict[str, Any]]:
    return [{"keyboard": {"text": f"{text}\n"}}]


class Folder:
    """An env folder in the making."""

    def __init__(self, path: Path, **spec: Any) -> None:
        self.path = path
        path.mkdir(parents=True)
        content = {
            "id": "small@1",
            "runner": "fake",
            "observation": [{"type": "cli_stdout"}, {"type": "rgb_screen", "resolution": [320, 200]}],
            "action": [{"type": "mouse"}, {"type": "keyboard"}],
        }
        self.write("env.json", content | spec)

    def write(self, name: str, content: Any) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def add_task(self, name: str, *, solution: Any = None, **spec: Any) -> None:
        content: dict[str, Any] = {
            "id": f"{name}@1",
            "description": f"Do {name}.",
            "metadata": {"answer": "42"},
        }
        content["success"] = {"mode": "program", "spec": {"program": "verifier.py::verify"}}
        self.write(f"tasks/{name}/task.json", content | spec)
        self.write(f"tasks/{name}/verifier.py", VERIFIER)
        if solution is not None:
            self.write(f"tasks/{name}/solution.json", solution)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return an env folder on the fake runner, without tasks."""
    return Folder(tmp_path / "small")


@pytest.fixture
def terminal(tmp_path: Path) -> Folder:
    """Return an env folder with a real terminal and two tasks: the first's solution passes, the second's fails."""
    made = Folder(tmp_path / "terminal", runner="local")
    for name, answer in (("right", "42"), ("wrong", "41")):
        steps = [type_line(f"echo {answer} > answer.txt"), type_line("cat answer.txt")]
        made.add_task(name, solution={"steps": steps, "wrong": [type_line("echo 0 > answer.txt")]})
    return made


@pytest.fixture
def pair(folder: Folder) -> Folder:
    """Return an env folder on the fake runner with two tasks: doing nothing passes the first, fails the second."""
    for name, answer in (("right", "42"), ("wrong", "41")):
        folder.add_task(name, solution={"steps": []}, hooks={"pre_task": f"echo {answer} > answer.txt"})
    return folder


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the agents of agents.py as another package would: by entry points."""
    info = tmp_path / "site" / "other-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    lines = [f"{name.lower()} = {__package__}.agents:{name}" for name in AGENTS]
    info.joinpath("entry_points.txt").write_text("\n".join(["[gym_queue.agents]", *lines]))
    monkeypatch.syspath_prepend(info.parent)


class Bench:
    """Runs benchmarks of one env folder, or of what ``env`` says, and keeps what they print."""

    def __init__(self, nursery: Nursery) -> None:
        self.nursery = nursery
        self.printed, self.progress = io.StringIO(), io.StringIO()

    def __call__(self, folder: Folder | str, agent: str = "ScriptedAgent", **fields: Any) -> Results:
        env = folder if isinstance(folder, str) else str(folder.path)
        config = BenchmarkConfig(env=env, agent=agent, **fields)
        console, progress = Console(file=self.printed, width=140), Console(file=self.progress)
        return run_benchmark(config, console, progress_console=progress, nursery=self.nursery)


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Give loops to all these tests: each starts in its run's own surroundings."""
    with Nursery(("gym_queue.env.local", "gym_queue.benchmark.agents.scripted")) as made:
        yield made


@pytest.fixture
def bench(nursery: Nursery) -> Bench:
    return Bench(nursery)
