"""Waiting for what happens elsewhere, without guessing how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_S = 0.01


def wait_until(predicate: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Return as soon as ``predicate`` holds.

    Raises:
        AssertionError: It did not hold within ``timeout_s``.
    """
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, f"this did not come true within {timeout_s:g} s"
        time.sleep(POLL_S)
