"""What agents say they used."""

from __future__ import annotations

from gym_queue.benchmark.attempt import Attempt

COST, TOKENS = "cost_usd", "_tokens"
"""Names of what an agent used: its cost, and the end of those that count tokens."""


def tokens_of(attempt: Attempt) -> float | None:
    """Return the tokens that an attempt took; None when its agent did not say."""
    counts = [count for name, count in attempt.usage.items() if name.endswith(TOKENS)]
    return sum(counts) if counts else None
