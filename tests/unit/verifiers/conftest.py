from __future__ import annotations

import os
import textwrap
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gym_queue.runners.base import Runner, RunnerSetup
from gym_queue.runners.processes import find_processes
from gym_queue.runners.registry import open_runner
from gym_queue.specs.env import EnvSpec
from gym_queue.specs.loader import parse_task
from gym_queue.verifiers import Verdict, VerifierLimits, VerifierRequest
from gym_queue.verifiers.verify import verify
from tests.unit.verifiers.modelserver import ModelServer

SPEC = EnvSpec.model_validate(
    {"id": "unit", "observation": [{"type": "cli_stdout"}], "action": [{"type": "keyboard"}]}
)


class Bench:
    """A started sandbox and an episode folder, to try verifiers on."""

    def __init__(self, tmp_path: Path) -> None:
        self.env_id = str(uuid.uuid4())
        self.task_dir = tmp_path / "task"
        self.episode_dir = tmp_path / "episode"
        self.work_dir = tmp_path / "work"
        for folder in (self.task_dir, self.episode_dir, self.work_dir):
            folder.mkdir()
        self.runner: Runner = open_runner("fake", RunnerSetup(self.env_id, SPEC, None, self.work_dir))
        self.runner.start()

    def judge(
        self,
        code: str | None = None,
        *,
        program: str = "verifier.py::check",
        success: dict[str, Any] | None = None,
        description: str = "",
        traj: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        variables: dict[str, str] | None = None,
        **limits: Any,
    ) -> Verdict:
        """Return the verdict of a verifier.py of this code, or of another ``success``."""
        if code is not None:
            (self.task_dir / "verifier.py").write_text(textwrap.dedent(code))
        task = {
            "id": "t",
            "success": success or {"spec": {"program": program}},
            "metadata": metadata or {},
            "description": description,
        }
        verdict = verify(
            VerifierRequest(
                env_id=self.env_id,
                task=parse_task(task, where="task"),
                task_dir=self.task_dir,
                env_dir=None,
                episode_dir=self.episode_dir,
                trajectory=traj or {},
                runner=self.runner,
                variables=variables or {},
                limits=VerifierLimits(**limits),
            )
        )
        assert verdict is not None
        return verdict

    def told(self, expression: str, **fields: Any) -> Any:
        """Return what an expression over traj, env_info and task_info is inside a verifier."""
        code = f"""
            import os, sys
            def check(traj, env_info, task_info):
                return {{"passed": True, "told": {expression}}}
        """
        return self.judge(code, **fields).extras["told"]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.runner.close()
    assert find_processes(made.env_id) == []


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    for name in [*os.environ]:
        if name.startswith("VLM_") or name.endswith("_API_KEY"):
            monkeypatch.delenv(name)
    made = ModelServer()
    yield made
    made.close()
