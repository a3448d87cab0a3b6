"""Logging of the programs: one line an event, with the ids it concerns; text for people, JSON for everything else."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from gym_queue.errors import StartupFailed

VARIABLE = "GYM_ANYTHING_LOG_FORMAT"
"""Of the programs' option."""
TEXT_CHARS, EXCEPTION_CHARS = 8_000, 24_000
"""What is kept of a line that can be asked for: the sentence's beginning, the traceback's end."""
_ENV = "environment %s"

_ids: ContextVar[tuple[tuple[str, str | None], ...]] = ContextVar("gym_queue_log_ids", default=())


class LogFormat(StrEnum):
    """How lines are written."""

    AUTO = "auto"  # text when standard error is a terminal, else JSON
    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogSetup:
    """How a program logs, for those that it starts."""

    level: str = "INFO"
    form: str = LogFormat.AUTO
    ids: Mapping[str, str] = field(default_factory=dict)
    """On every line."""


@contextmanager
def log_ids(**ids: str | None) -> Iterator[None]:
    """Put ids (``env_id=..``, ``request_id=..``) on every line logged inside the block; None takes one off."""
    token = _ids.set((*_ids.get(), *ids.items()))
    try:
        yield
    finally:
        _ids.reset(token)


def current_id(name: str) -> str | None:
    """Return the value that lines logged now would bear as this id."""
    return dict(_ids.get()).get(name)


def ids_of(record: logging.LogRecord) -> dict[str, str]:
    """Return the ids around a line that is being logged; an environment that its sentence names is one."""
    ids = {name: value for name, value in dict(_ids.get()).items() if value is not None}
    if "env_id" not in ids and isinstance(record.msg, str) and isinstance(record.args, tuple):
        before, found, _ = record.msg.partition(_ENV)
        at = before.count("%")
        if found and at < len(record.args):
            ids["env_id"] = str(record.args[at])
    return ids


def line_of(record: logging.LogRecord, formatter: logging.Formatter | None = None) -> dict[str, Any]:
    """Return a line as it is kept and asked for: ``at`` in unix seconds, level, logger, text, ids, exception."""
    line = {
        "at": record.created,
        "level": record.levelname,
        "logger": record.name,
        "text": writable(_message(record)[:TEXT_CHARS]),
        **{key: writable(value) for key, value in ids_of(record).items()},
    }
    if record.exc_info and record.exc_info[0] is not None:
        shown = (formatter or logging.Formatter()).formatException(record.exc_info)
        line["exception"] = writable(shown[-EXCEPTION_CHARS:])
    return line


def writable(text: str) -> str:
    """Return a text as UTF-8 can have it: names of files may hold half of a character."""
    return text.encode("utf-8", "backslashreplace").decode()


def _message(record: logging.LogRecord) -> str:
    """Return a line's sentence; of one whose arguments do not fit, what was written."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return str(record.msg)


class _OneLine(logging.Formatter):
    """Keeps an event on its line: what callers choose, names and reasons, must not pass for another event."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  logging's own name
        return one_line(super().formatMessage(record))


def one_line(text: str) -> str:
    """Return a text with what would end its line, or speak to a terminal, written out."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


class _JsonLine(logging.Formatter):
    """One JSON object an event, tracebacks included; ASCII, so that nothing a caller chose ends the line."""

    def __init__(self, ids: Mapping[str, str]) -> None:
        super().__init__()
        self._fixed = dict(ids)

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        line = {
            **self._fixed,
            **ids_of(record),
            "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self.formatException(record.exc_info)
        order = ("at", "level", "logger", "message")
        return json.dumps({**{key: line[key] for key in order}, **line}, default=str)


class _WithIds(logging.Filter):
    """Writes the ids behind a line of text."""

    def __init__(self, ids: Mapping[str, str]) -> None:
        super().__init__()
        self._fixed = dict(ids)

    def filter(self, record: logging.LogRecord) -> bool:
        ids = {**self._fixed, **ids_of(record)}
        record.ids = "".join(f" {key}={value}" for key, value in ids.items())
        return True


def configure_logging(
    level: str = "INFO", *, form: str = LogFormat.TEXT, ids: Mapping[str, str] | None = None
) -> LogFormat:
    """Send this program's log lines to standard error.

    Args:
        level: A level name of ``logging``, any case.
        form: A LogFormat.
        ids: On every line: whose they are.

    Returns:
        The form of its lines: TEXT or JSON.

    Raises:
        StartupFailed: There is no such level, or form.
    """
    if level.upper() not in logging.getLevelNamesMapping():
        raise StartupFailed(f"there is no log level {level!r}: use debug, info, warning or error")
    if form not in list(LogFormat):
        raise StartupFailed(f"there is no log format {form!r}: use auto, text or json")
    chosen = LogFormat(form)
    if chosen is LogFormat.AUTO:
        chosen = LogFormat.TEXT if sys.stderr.isatty() else LogFormat.JSON
    handler = logging.StreamHandler(sys.stderr)
    if chosen is LogFormat.JSON:
        handler.setFormatter(_JsonLine(ids or {}))
    else:
        handler.addFilter(_WithIds(ids or {}))
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)-7s %(name)s: %(message)s%(ids)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gym_queue").setLevel(level.upper())
    logging.captureWarnings(chosen is LogFormat.JSON)  # else they would be lines that are no JSON
    return chosen
