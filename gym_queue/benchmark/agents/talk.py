"""A conversation with a model, whatever its API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from gym_queue.benchmark.agents.batch import Answer, Deed
from gym_queue.benchmark.agents.hand import Hand

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Reply(Generic[C]):
    """A model's answer."""

    calls: Sequence[C]
    """What it wants done, in order."""
    text: str
    usage: dict[str, int] = field(default_factory=dict)
    """``requests``, and tokens by kind."""
    is_done: bool = False
    """It does nothing more after these calls."""


class Talk(Protocol[C]):
    """One attempt's conversation."""

    def say(self, text: str, image: str | None = None) -> None:
        """Add words of the user, and a screenshot as base64 PNG."""

    def answer(self, answers: Sequence[Answer[C]], image: str | None, text: str | None) -> None:
        """Add what became of the last calls, and what is there now."""

    def ask(self) -> Reply[C]:
        """Return the model's next answer.

        Raises:
            AgentFailed: The API refuses the request, or failed to answer.
            ModelUnreachable: It does not answer.
            ModelDenied: It never will.
            BadReply: It answered something that is not of it.
        """

    def translate(self, call: C, hand: Hand) -> Deed:
        """Return what a call comes to.

        Raises:
            BadCall: It is not one, or the environment cannot do it.
        """
