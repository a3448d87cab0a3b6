"""What a run was asked to do, as its folder says it: ``run.json``."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, JsonValue, model_validator

from gym_queue.benchmark.attempt import Key
from gym_queue.version import __version__

FORMAT = 2
"""Of the folder's layout; higher when older readers could not read it. 1: runs of one environment."""


class TaskInfo(BaseModel):
    """A task that is to be run, and what its results are grouped by."""

    model_config = ConfigDict(frozen=True)

    env: str
    """Name of the env folder."""
    task_id: str
    difficulty: str | None = None
    tags: tuple[str, ...] = ()


class EnvInfo(BaseModel):
    """An environment of a run."""

    model_config = ConfigDict(frozen=True)

    env: str
    """Name of the env folder."""
    env_id: str
    env_version: str


class RunInfo(BaseModel):
    """What a run was asked to do."""

    model_config = ConfigDict(frozen=True)

    format: int = 1
    version: str = __version__
    """Of this package."""
    started_at: datetime
    env_id: str = ""
    """The spec's id; empty for a run of several environments."""
    env_version: str = ""
    envs: tuple[EnvInfo, ...] = ()
    """All of them."""
    config: dict[str, JsonValue]
    """The flags, with every option of the agent."""
    seeds: tuple[int, ...]
    """Of each repeat."""
    tasks: tuple[TaskInfo, ...]

    @model_validator(mode="before")
    @classmethod
    def _one_is_all(cls, fields: object) -> object:
        """Name the one environment of a run from before there could be several."""
        tasks = fields.get("tasks") if isinstance(fields, dict) else None
        if (
            not isinstance(fields, dict)
            or fields.get("envs")
            or not isinstance(tasks, list | tuple)
            or not tasks
        ):
            return fields
        first = tasks[0]
        name = first.get("env") if isinstance(first, dict) else getattr(first, "env", None)
        known = {"env_id": fields.get("env_id"), "env_version": fields.get("env_version")}
        return {**fields, "envs": ({"env": name, **known},)}

    @property
    def keys(self) -> list[Key]:
        """The attempts that make the run."""
        return [
            Key(task.env, task.task_id, repeat) for task in self.tasks for repeat in range(len(self.seeds))
        ]

    @property
    def name(self) -> str:
        """What people call it."""
        given = self.config.get("exp_name")
        return (
            str(given)
            if given
            else ", ".join(each.env for each in self.envs[:3])
            + (f" and {len(self.envs) - 3} more" if len(self.envs) > 3 else "")
        )
