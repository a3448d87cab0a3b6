"""``gym-anything benchmark`` on a fleet of its own, and an env folder that costs next to nothing."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gym_queue.errors import StartupFailed
from gym_queue.testing import Fleet, FleetSetup

TOKEN = "GYM_ANYTHING_TOKEN"  # noqa: S105  the variable's name
LOG_CHARS = 2000
VERIFIER = 'def verify(traj, env_info, task_info):\n    return {"passed": True, "score": 100}\n'
NULL_SPEC = {
    "id": "null@1",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 64]}],
    "action": [{"type": "mouse"}],
}
CLICK = {"mouse": {"left_click": [32, 32]}}


@dataclass(frozen=True, slots=True)
class Runs:
    """A fleet, and a folder for what benchmarks leave."""

    fleet: Fleet
    token: str
    folder: Path

    def start(self, env: str, name: str, *flags: str) -> subprocess.Popen[bytes]:
        """Start a benchmark on the fleet; its output goes to the folder ``name``, what it prints to a file beside it."""
        command = [
            sys.executable,
            "-m",
            "gym_queue.cli.main",
            "benchmark",
            env,
            "--remote-url",
            self.fleet.url,
        ]
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*command, "--output", str(self.folder / name), *flags],
                env={**os.environ, TOKEN: self.token},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def finish(self, process: subprocess.Popen[bytes], name: str) -> None:
        """Wait for a benchmark's end.

        Raises:
            StartupFailed: An attempt did not pass.
        """
        if process.wait():
            said = (self.folder / f"{name}.log").read_text(errors="replace")[-LOG_CHARS:]
            raise StartupFailed(f"the benchmark {name} ended with status {process.returncode}: {said}")

    def null_env(self, name: str, steps: Sequence[int]) -> str:
        """Make an env folder with a task for each number: it passes after so many clicks; return its path."""
        env = self.folder / name
        env.mkdir()
        (env / "env.json").write_text(json.dumps(NULL_SPEC))
        success = {"mode": "program", "spec": {"program": "verifier.py::verify"}}
        for number, count in enumerate(steps):
            task = env / "tasks" / f"clicks_{number:02d}"
            task.mkdir(parents=True)
            spec = {"id": f"{task.name}@1", "description": "Click.", "success": success}
            (task / "task.json").write_text(json.dumps(spec))
            (task / "solution.json").write_text(json.dumps({"steps": [[CLICK]] * count}))
            (task / "verifier.py").write_text(VERIFIER)
        return str(env)


@contextmanager
def runs(runner: str, *, workers: int = 2, slots: int = 4) -> Iterator[Runs]:
    """Start a fleet of workers with slots each, for environments of one runner."""
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="gym-queue-bench-") as folder:
        setup = FleetSetup(
            workers=workers,
            max_envs=slots,
            worker_arguments=("--runners", runner, "--env-root", folder),
            variables={TOKEN: token},
        )
        with Fleet(setup) as fleet:
            yield Runs(fleet, token, Path(folder))
