"""A lock between processes of one host; it ends with its holder."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold(path: Path, *, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock; whoever comes second waits.

    Args:
        path: Its file, made with its folder where it is missing.
        on_wait: Called once when somebody else holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            on_wait()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
