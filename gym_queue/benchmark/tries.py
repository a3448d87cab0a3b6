"""Which tries of an attempt count, and what remains of those that do not."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict

from gym_queue.benchmark.attempt import Attempt, AttemptError, Key

logger = logging.getLogger(__name__)


class Tries:
    """Keeps account of the tries that attempts lost to the infrastructure.

    Args:
        retries: How often an attempt that was lost is run again.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._lost: defaultdict[Key, list[AttemptError]] = defaultdict(list)
        self._usage: defaultdict[Key, Counter[str]] = defaultdict(Counter)

    def settle(self, attempt: Attempt, *, is_lost: bool) -> Attempt | None:
        """Take a try that ended.

        Args:
            attempt: What became of it.
            is_lost: Whether the infrastructure broke it, so that another one may go better.

        Returns:
            The attempt with what its earlier tries took; None when it is to be run again.
        """
        key = attempt.key
        self.forgive(attempt)
        lost = self._lost[key]
        if is_lost and attempt.error is not None:
            lost.append(attempt.error)
            if len(lost) <= self._retries:
                logger.warning(
                    "%s of %s was lost to the infrastructure and is run again: %s",
                    key.task_id,
                    key.env,
                    attempt.error.message,
                )
                return None
        return attempt.model_copy(update={"lost": tuple(lost), "usage": dict(self._usage[key])})

    def forgive(self, attempt: Attempt) -> None:
        """Take a try that does not count against its attempt; what the agent used in it was used all the same."""
        for name, number in attempt.usage.items():
            self._usage[attempt.key][name] += number  # type: ignore[assignment]  # counts of tokens, and dollars
