"""Logging of the programs: one line an event, with the ids it concerns."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gym_queue.errors import StartupFailed

_ids: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("gym_queue_log_ids", default=())


@contextmanager
def log_ids(**ids: str) -> Iterator[None]:
    """Put ids (``env_id=..``, ``request_id=..``) on every line logged inside the block."""
    token = _ids.set((*_ids.get(), *ids.items()))
    try:
        yield
    finally:
        _ids.reset(token)


class _OneLine(logging.Formatter):
    """Keeps an event on its line: what callers choose, names and reasons, must not pass for another event."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        line = super().formatMessage(record)
        return line if line.isprintable() else "".join(map(_shown, line))


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class _WithIds(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.ids = "".join(f" {key}={value}" for key, value in _ids.get())
        return True


def configure_logging(level: str = "INFO") -> None:
    """Send the package's log lines to standard error.

    Args:
        level: A level name of ``logging``, any case.

    Raises:
        StartupFailed: There is no such level.
    """
    if level.upper() not in logging.getLevelNamesMapping():
        raise StartupFailed(f"there is no log level {level!r}: use debug, info, warning or error")
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_WithIds())
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)-7s %(name)s: %(message)s%(ids)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gym_queue").setLevel(level.upper())
