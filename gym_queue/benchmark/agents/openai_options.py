"""What both ways of asking an OpenAI model share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gym_queue.benchmark.agents.modelapi import ModelOptions


class OpenAIOptions(ModelOptions):
    """Options of the OpenAI agent."""

    mode: Literal["responses", "chat"] = "responses"
    """responses: OpenAI's computer-use tool; chat: any model with vision behind chat completions, vLLM's among them."""
    effort: str | None = None
    """How hard to think, of models that take it; none leaves it to the model."""
    acknowledge_safety_checks: bool = False
    """Go on when the API asks that a person look first; responses alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One action that a model asked for."""

    name: str
    action: Any
    """As it came; checked where it is translated."""
    call_id: str | None = None
    """Of the call that it came by; None of one that was written as text."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's answer, whatever its API."""

    calls: Sequence[Asked]
    text: str
    usage: dict[str, int] = field(default_factory=dict)
    is_done: bool = False
    """It does nothing more."""
