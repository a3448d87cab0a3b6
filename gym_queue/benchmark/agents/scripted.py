"""An agent that plays a script: a task's own solution, a plausible mistake, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from gym_queue.benchmark.agents.base import AgentOptions, AgentTask, AgentTurn
from gym_queue.errors import ActionInvalid, SpecInvalid, SpecNotFound
from gym_queue.protocol.actions import parse_actions
from gym_queue.specs.files import read_mapping
from gym_queue.specs.loader import task_folder

IDLE = "idle"
SOLUTION = "solution.json"

Script = list[list[dict[str, Any]]]
"""Actions of each step."""


class ScriptedOptions(AgentOptions):
    """Options of the scripted agent."""

    script: str = "steps"
    """A list in the task's solution.json (steps, wrong), idle for no action at all, or a .json file with steps."""


class ScriptedAgent:
    """Plays a script: the task's solution, its plausible mistake, or any file of steps."""

    Options = ScriptedOptions
    wait_between_actions_s = 0.0  # a script waits by wait actions; settling comes after each step anyway

    def __init__(self, options: ScriptedOptions) -> None:
        self._options = options
        self._steps: Sequence[Sequence[dict[str, Any]]] = ()

    def start(self, task: AgentTask) -> None:
        """Read the script.

        Raises:
            SpecNotFound: There is no such script for this task.
            SpecInvalid: It is not a list of steps, each a list of actions.
        """
        self._steps = _load(self._options.script, task)

    def act(self, observation: dict[str, Any], *, step: int) -> AgentTurn:  # noqa: ARG002  a script is blind
        """Return the script's next step; done with its last."""
        actions = self._steps[step] if step < len(self._steps) else ()
        return AgentTurn(actions, done=step + 1 >= len(self._steps))

    def close(self) -> None:
        """Nothing is held."""


def _load(script: str, task: AgentTask) -> Script:
    if script == IDLE:
        return []
    if script.endswith(".json"):
        return _read(Path(script), "steps")
    path = task_folder(task.env_dir, task.task_id) / SOLUTION
    if not path.is_file():
        raise SpecNotFound(
            f"the task {task.task_id} has no script: {path} does not exist; write it, or give script={IDLE} or a .json file"
        )
    return _read(path, script)


def _read(path: Path, key: str) -> Script:
    content = read_mapping(path)
    if key not in content:
        raise SpecNotFound(f"{path} has no script {key!r}; it has {', '.join(map(str, content)) or 'none'}")
    try:
        script = TypeAdapter(Script).validate_python(content[key])
    except ValidationError as error:
        where = ".".join(map(str, (key, *error.errors()[0]["loc"])))
        raise SpecInvalid(f"{path}: {where}: a script is a list of steps, each a list of actions") from None
    for index, actions in enumerate(script):
        try:
            parse_actions(actions)
        except ActionInvalid as error:
            raise SpecInvalid(f"{path}: {key}.{index}: {error}") from error
    return script
