from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ENV: dict[str, Any] = {
    "id": "notes_env@0.1",
    "observation": [{"type": "rgb_screen", "resolution": [1024, 768]}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
    "mounts": [{"source": "corpus/environments/notes_env/scripts", "target": "/workspace/scripts"}],
    "hooks": {"post_start": "/workspace/scripts/setup.sh"},
}
TASK: dict[str, Any] = {
    "id": "write_note@1",
    "env_id": "notes_env@0.1",
    "hooks": {"pre_task": "bash setup_task.sh"},
    "success": {"mode": "program", "spec": {"program": "verifier.py::check"}},
}

Write = Callable[[str, object], Path]


@pytest.fixture
def env_dir(tmp_path: Path) -> Path:
    """An env folder that has nothing wrong with it."""
    folder = tmp_path / "notes_env"
    (folder / "scripts").mkdir(parents=True)
    (folder / "scripts/setup.sh").write_text("true\n")
    task = folder / "tasks/write_note"
    task.mkdir(parents=True)
    (task / "verifier.py").write_text("def check(traj, env_info, task_info): ...\n")
    (task / "task.json").write_text(json.dumps(TASK))
    (folder / "env.json").write_text(json.dumps(ENV))
    return folder


@pytest.fixture
def write(env_dir: Path) -> Write:
    """Put a file into the env folder: bytes and str as they are, all else as JSON."""

    def put(name: str, content: object) -> Path:
        path = env_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return put
