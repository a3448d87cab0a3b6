"""Options of the Claude agent."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from gym_queue.benchmark.agents.claude_tool import ToolVersion
from gym_queue.benchmark.agents.modeloptions import ModelOptions


class ClaudeOptions(ModelOptions):
    """Options of the Claude agent."""

    tool: ToolVersion | None = None
    """Version of the computer-use tool; none takes the newest that the model knows."""
    thinking_budget: int | None = Field(None, ge=1024)
    """Tokens to think with, of models that take a budget; newer ones think as ``effort`` says."""
    effort: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    """How hard to think, of models that take it; none leaves it to the model."""

    @model_validator(mode="after")
    def _budget_is_within_the_answer(self) -> Self:
        if self.thinking_budget is not None and self.thinking_budget >= self.max_tokens:
            raise ValueError("thinking_budget must be less than max_tokens")
        return self
