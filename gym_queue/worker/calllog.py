"""The latest calls that an environment answered."""

from __future__ import annotations

import time
from collections import deque
from itertools import islice
from typing import NamedTuple

KEPT_CALLS = 500


class AnsweredCall(NamedTuple):
    """One call, as it was answered."""

    n: int
    """Counts an environment's calls, from 1."""
    call: str
    at: float
    """When it began, in unix seconds."""
    duration_ms: float
    error_code: str | None
    request_id: str | None
    step: int | None
    """Its index in the episode, of a step that was answered."""


_Entry = tuple[int, str, float, float, str | None, str | None, int | None]


class CallLog:
    """The last ``KEPT_CALLS`` calls of an environment; adding one takes a microsecond."""

    def __init__(self) -> None:
        self._calls: deque[_Entry] = deque(maxlen=KEPT_CALLS)
        self._count = 0

    def add(
        self,
        call: str,
        began: float,
        *,
        request_id: str | None,
        error_code: str | None = None,
        step: int | None = None,
    ) -> None:
        """Add a call that ends now.

        Args:
            call: Its name.
            began: When it began, as ``time.perf_counter`` says.
            request_id: Of its request.
            error_code: Of its error; None of one that succeeded.
            step: Its index in the episode, of a step.
        """
        self._count += 1
        took_s = time.perf_counter() - began
        self._calls.append(  # a plain tuple: half the time of a named one
            (self._count, call, time.time() - took_s, took_s * 1000, error_code, request_id, step)
        )

    def after(self, number: int) -> list[AnsweredCall]:
        """Return the calls after a number that are still kept, oldest first."""
        new = min(self._count - number, len(self._calls))
        return [AnsweredCall(*each) for each in islice(self._calls, len(self._calls) - max(new, 0), None)]

    @property
    def last(self) -> int:
        """The number of the latest call; 0 of none."""
        return self._count
