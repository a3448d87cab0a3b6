"""What one step may ask of an environment, and what an episode keeps."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from gym_queue.errors import ActionInvalid
from gym_queue.protocol.actions import Action
from gym_queue.protocol.sessions import MAX_ACTIONS


class EpisodeBounds(BaseModel):
    """The operator's bounds; the wire's own hold besides."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    actions: int = Field(MAX_ACTIONS, ge=0, le=MAX_ACTIONS)
    """Actions of one step."""
    wait_s: float = Field(600.0, ge=0)
    """All the waiting of one step: its wait actions, and the pauses between its actions, in seconds."""
    frames: int = Field(10_000, ge=1)
    """Frames kept of an episode, the latest; beyond them the oldest go, but never the first."""
    copy_bytes: int = Field(16 << 30, ge=0)
    """What one copy into the sandbox or out of it may take."""

    settle_s: float = Field(0.1, ge=0)
    """How long a screen is still before it counts as settled, in seconds."""
    settle_max_s: float = Field(2.0, ge=0)
    """Longest wait for that after a step's actions, in seconds."""

    def check(self, actions: Sequence[Action], pause_s: float) -> None:
        """See that a step asks no more than it may.

        Args:
            actions: The step's.
            pause_s: Between two of them, in seconds.

        Raises:
            ActionInvalid: They are too many, or wait too long.
        """
        if len(actions) > self.actions:
            raise ActionInvalid(
                f"actions: {len(actions)} are more than the {self.actions} of one step that this worker takes: send them in several steps",
                {"max_actions": self.actions},
            )
        waits_s = sum(action.wait_s for action in actions if action.action == "wait")
        total_s = waits_s + pause_s * max(0, len(actions) - 1)
        if total_s > self.wait_s:
            raise ActionInvalid(
                f"the step waits {total_s:g} s in all, more than the {self.wait_s:g} s that this worker allows: wait in several steps, or less between actions",
                {"max_wait_s": self.wait_s},
            )
