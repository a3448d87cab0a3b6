"""An agent that clicks and types at random: a floor to compare with, and a load on an environment."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import Field

from gym_queue.benchmark.agents.base import AgentOptions, AgentTask, AgentTurn
from gym_queue.errors import NotSupported
from gym_queue.protocol.sessions import MAX_ACTIONS

KEYS = (
    "enter",
    "tab",
    "esc",
    "space",
    "backspace",
    "up",
    "down",
    "left",
    "right",
    "home",
    "end",
    "pgup",
    "pgdn",
)
# Whole words, none of them a command that changes anything: a local environment's shell has its user's rights.
WORDS = ("hello", "world", "lorem", "ipsum", "dolor", "42", "3.14")
CLICKS = ("left_click", "right_click", "double_click", "move")
MAX_SCROLL = 5

Action = dict[str, Any]


class RandomOptions(AgentOptions):
    """Options of the random agent."""

    steps: int = Field(20, ge=1)
    """Steps until the agent is done."""
    actions: int = Field(1, ge=1, le=MAX_ACTIONS)
    """Actions in each step."""
    seed: int | None = None
    """Seed of the choices; none takes the run's."""


class RandomAgent:
    """Clicks, scrolls and types at random within the screen; the same for the same seed and task."""

    Options = RandomOptions
    wait_between_actions_s = 0.0  # nothing that it does depends on what it saw

    def __init__(self, options: RandomOptions) -> None:
        self._options = options
        self._random = random.Random()  # noqa: S311  choices, not secrets
        self._kinds: Sequence[Callable[[], Action]] = ()
        self._resolution = (0, 0)

    def start(self, task: AgentTask) -> None:
        """Seed the choices.

        Raises:
            NotSupported: The environment takes neither mouse nor keyboard.
        """
        devices = {"mouse": (self._click, self._scroll), "keyboard": (self._press, self._type)}
        allowed = [action.type for action in task.env.action]
        self._kinds = [kind for device in devices for kind in devices[device] if device in allowed]
        if not self._kinds:
            raise NotSupported(
                f"the random agent needs mouse or keyboard, and {task.env.id} takes {', '.join(allowed)}"
            )
        seed = task.seed if self._options.seed is None else self._options.seed
        self._random.seed(f"{seed}:{task.task_id}")
        self._resolution = task.env.resolution

    def act(self, observation: dict[str, Any], *, step: int) -> AgentTurn:  # noqa: ARG002  it looks at nothing
        """Return the next random actions."""
        actions = [self._random.choice(self._kinds)() for _ in range(self._options.actions)]
        return AgentTurn(actions, done=step + 1 >= self._options.steps)

    def close(self) -> None:
        """Nothing is held."""

    def _click(self) -> Action:
        width, height = self._resolution
        point = [self._random.randrange(width), self._random.randrange(height)]
        return {"mouse": {self._random.choice(CLICKS): point}}

    def _scroll(self) -> Action:
        return {"mouse": {"scroll": self._random.randint(-MAX_SCROLL, MAX_SCROLL)}}

    def _press(self) -> Action:
        return {"keyboard": {"keys": [self._random.choice(KEYS)]}}

    def _type(self) -> Action:
        return {"keyboard": {"text": self._random.choice(WORDS)}}
