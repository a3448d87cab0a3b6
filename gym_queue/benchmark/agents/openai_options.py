"""What both ways of asking an OpenAI model share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gym_queue.benchmark.agents.modelapi import count
from gym_queue.benchmark.agents.modeloptions import ModelOptions


class OpenAIOptions(ModelOptions):
    """Options of the OpenAI agent."""

    mode: Literal["responses", "chat"] = "responses"
    """responses: OpenAI's computer-use tool; chat: any model with vision behind chat completions, vLLM's among them."""
    effort: str | None = None
    """How hard to think, of models that take it; none leaves it to the model."""
    acknowledge_safety_checks: bool = False
    """Go on when the API asks that a person look first, and note it with the step; responses alone."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One action that a model asked for."""

    name: str
    action: Any
    """As it came; checked where it is translated."""
    call_id: str | None = None
    """Of the call that it came by; None of one that was written as text."""


def tokens(counts: Any, *, read: str, written: str) -> dict[str, int]:
    """Return one answer's usage.

    Args:
        counts: As an API says them.
        read: Its name of tokens that were read, to and from the cache among them.
        written: Its name of tokens that were written.
    """
    details = counts.get(f"{read}_details") if isinstance(counts, dict) else None
    cached, kept = count(details, "cached_tokens"), count(details, "cache_write_tokens")
    return {
        "requests": 1,
        "input_tokens": max(0, count(counts, read) - cached - kept),
        "output_tokens": count(counts, written),
        "cache_read_tokens": cached,
        "cache_write_tokens": kept,
    }
