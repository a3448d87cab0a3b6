"""An env folder that costs next to nothing: its tasks are to type some texts, each once and in their order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

SPEC = {
    "id": "null@1",
    "runner": "fake",
    "observation": [{"type": "rgb_screen", "resolution": [64, 64]}],
    "action": [{"type": "mouse"}, {"type": "keyboard"}],
}
VERIFIER = """
def verify(traj, env_info, task_info):
    typed = [action["keyboard"]["text"] for step in traj["steps"] for action in step["action"]]
    return {"passed": typed == task_info["metadata"]["typed"], "score": 100, "feedback": str(typed)}
"""


def make_null_env(folder: Path, tasks: Mapping[str, Sequence[str]], *, step_delay_s: float = 0.0) -> Path:
    """Make an env folder on the fake runner, whose solutions pass.

    Args:
        folder: Made.
        tasks: What is to be typed, a step each, by task id.
        step_delay_s: How long each action takes.
    """
    folder.mkdir()
    (folder / "env.json").write_text(json.dumps({**SPEC, "fake": {"step_delay_s": step_delay_s}}))
    success = {"mode": "program", "spec": {"program": "verifier.py::verify"}}
    for name, typed in tasks.items():
        task = folder / "tasks" / name
        task.mkdir(parents=True)
        metadata = {"typed": list(typed)}
        spec = {"id": f"{name}@1", "description": "Type.", "metadata": metadata, "success": success}
        (task / "task.json").write_text(json.dumps(spec))
        (task / "solution.json").write_text(
            json.dumps({"steps": [[{"keyboard": {"text": t}}] for t in typed]})
        )
        (task / "verifier.py").write_text(VERIFIER)
    return folder
