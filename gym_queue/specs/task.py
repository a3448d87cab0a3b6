"""What a task is: the content of task.json, typed."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from gym_queue.specs.base import SpecModel, Strings

RewardType = Literal["sparse", "dense", "partial", "rubric", "continuous"]
SuccessMode = Literal["program", "image_match", "multi", "vlm_checklist"]


class TaskInit(SpecModel):
    """How an episode starts and when it ends."""

    init_script: str | None = None
    """Command run inside after the pre_task hook."""
    init_pyautogui: Any = None
    """Recorded start-up actions; kept, not run."""
    timeout_sec: float = Field(600, gt=0)
    """Wall time of an episode, from the end of its reset."""
    max_steps: int = Field(2000, gt=0)
    """Steps of an episode."""
    reward_type: RewardType = "sparse"
    """How a verdict becomes a reward."""
    reward_shaping: Any = None
    """What gives a dense reward for each step."""


class TaskHooks(SpecModel):
    """Commands run inside the sandbox, one after the other."""

    pre_task: Strings = ()
    """Before the episode starts."""
    post_task: Strings = ()
    """When the episode is done, before the verifier."""
    pre_task_timeout: float = Field(600, gt=0)
    """Seconds that each pre_task command may take."""


class Success(SpecModel):
    """How an episode is judged."""

    mode: SuccessMode = "program"
    """Kind of verifier."""
    spec: dict[str, Any] = Field(default_factory=dict)
    """What that kind of verifier takes."""


class TaskSpec(SpecModel):
    """A task in an environment."""

    id: str = Field(min_length=1)
    """Name, often with a version suffix: ``write_file@1``."""
    env_id: str | None = None
    """Id of the environment it belongs to."""
    version: str = "1.0"
    """Version of the task."""
    description: str = ""
    """What the agent is told."""
    name: str | None = None
    """Title, for people."""
    difficulty: str | None = None
    """How hard it is, in the author's words."""
    natural_language: Any = None
    """Further wordings of the task."""
    tags: Strings = ()
    """Free words to find it by."""
    deps: Any = None
    """What the task needs beside its environment; kept, not read."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Given to the verifier."""
    init: TaskInit = TaskInit()
    """How an episode starts and when it ends."""
    hooks: TaskHooks = TaskHooks()
    """Commands run inside."""
    success: Success | None = None
    """How an episode is judged; None means it is not."""
