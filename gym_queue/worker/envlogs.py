"""What was logged about each environment of a worker, by the worker and by the environment's own process; bounded."""

from __future__ import annotations

import json
import logging
import os
from collections import OrderedDict, deque
from collections.abc import Iterable
from pathlib import Path
from threading import RLock
from typing import Any

from gym_queue.log import EXCEPTION_CHARS, TEXT_CHARS, ids_of, line_of, writable

ENV_LOG = "env.log"
"""An environment's own lines, in its folder."""
LINES = 1000
BYTES = 256 << 10
"""Kept of each environment, of worker and process apart."""
FILE_BYTES = 1 << 20
"""Of an environment's own file; then its older half goes."""
ENDED = 100
"""Environments that have ended whose lines are kept."""
LATEST = 1e11
"""Unix seconds: no line of ours is as late."""
CUT = {"logger": 200, "text": TEXT_CHARS, "request_id": 200, "exception": EXCEPTION_CHARS}
"""Characters that are taken from a file."""
LEVELS = frozenset(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))

Line = dict[str, Any]
"""As ``line_of`` has it, and its ``source``."""


class _Kept:
    """The lines about one environment."""

    def __init__(self) -> None:
        self.fd: int | None = None
        """Of its own file, open for as long as it lives: it is readable when the folder has gone."""
        self.of_env = b""
        """Of its own file, once it has ended."""
        self._lines: deque[tuple[Line, int]] = deque()
        self._bytes = 0

    @property
    def of_worker(self) -> list[Line]:
        return [line for line, _ in self._lines]

    def add(self, line: Line) -> None:
        size = sum(len(str(value)) for value in line.values())
        self._lines.append((line, size))
        self._bytes += size
        while len(self._lines) > LINES or self._bytes > BYTES:
            self._bytes -= self._lines.popleft()[1]


class EnvLogs(logging.Handler):
    """Keeps a worker's lines by the environment that they name, and finds those that its process wrote.

    A handler of the root logger; its lock guards what it keeps, as ``logging`` calls ``emit`` with it held.
    """

    def __init__(self) -> None:
        super().__init__()
        self._live: dict[str, _Kept] = {}
        self._ended: OrderedDict[str, _Kept] = OrderedDict()

    def begin(self, env_id: str) -> None:
        """Keep the lines about an environment from now on; those of an earlier one of this id go."""
        with self._held():
            self._ended.pop(env_id, None)
            self._live.setdefault(env_id, _Kept())

    def make_file(self, env_id: str, folder: Path) -> None:
        """Make the file for an environment's own lines, before any program of it runs.

        Raises:
            OSError: The folder cannot be written.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(folder / ENV_LOG, flags, 0o600)
        with self._held():
            kept = self._live.get(env_id)
            if kept is None:
                os.close(fd)
            else:
                fd, kept.fd = kept.fd if kept.fd is not None else -1, fd
                if fd >= 0:
                    os.close(fd)

    def end(self, env_id: str) -> None:
        """Keep what there is about an environment that has ended, while it is one of the last."""
        with self._held():
            kept = self._live.pop(env_id, None)
            if kept is None:
                return
            self._ended[env_id] = kept
            while len(self._ended) > ENDED:
                self._ended.popitem(last=False)
            fd, kept.fd = kept.fd, None
        if fd is not None:
            kept.of_env = _tail(fd)
            os.close(fd)

    def lines(self, env_id: str, limit: int) -> list[Line] | None:
        """Return the latest lines about an environment, oldest first; None of one that is not known (any more).

        It reads a file: not for an event loop.
        """
        with self._held():
            kept = self._live.get(env_id) or self._ended.get(env_id)
            if kept is None:
                return None
            ours, fd = kept.of_worker, None if kept.fd is None else os.dup(kept.fd)
        try:
            own = kept.of_env if fd is None else _tail(fd)
        finally:
            if fd is not None:
                os.close(fd)
        parsed = (_parsed(text) for text in own.splitlines()[-LINES:])
        return merged(ours, (line for line in parsed if line is not None))[-limit:]

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line that is about an environment of this worker."""
        env_id = ids_of(record).get("env_id")
        kept = None if env_id is None else self._live.get(env_id) or self._ended.get(env_id)
        if kept is not None:
            kept.add({**line_of(record, self.formatter), "source": "worker"})

    def _held(self) -> RLock:
        assert self.lock is not None  # noqa: S101  every handler has made one
        return self.lock


class EnvLogFile(logging.Handler):
    """Writes an environment's process' lines to its file; alone in that, so that cutting it is safe.

    Args:
        folder: The environment's; ``EnvLogs.make_file`` has made the file.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(folder / ENV_LOG, flags)
        self._size = os.fstat(self._fd).st_size

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; a full disk costs the line, and no more."""
        data = json.dumps(line_of(record, self.formatter), default=str).encode() + b"\n"
        try:
            if self._size + len(data) > FILE_BYTES:
                self._cut()
            self._size += os.write(self._fd, data)
        except OSError:
            self._size = os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close the file; safe to call twice."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)
        super().close()

    def _cut(self) -> None:
        newer = os.pread(self._fd, FILE_BYTES // 2, max(0, self._size - FILE_BYTES // 2))
        newer = newer[newer.find(b"\n") + 1 :]
        os.ftruncate(self._fd, 0)
        self._size = os.write(self._fd, newer)


def merged(*sources: Iterable[Line]) -> list[Line]:
    """Return the lines of several sources by time; those of one source keep their order."""
    return sorted((line for lines in sources for line in lines), key=lambda line: float(line["at"]))


def _tail(fd: int) -> bytes:
    """Return the latest of an environment's own file, which its programs may have written to as well."""
    try:
        size = os.fstat(fd).st_size
        data = os.pread(fd, BYTES, max(0, size - BYTES))
    except OSError:
        return b""
    return data[data.find(b"\n") + 1 :] if size > BYTES else data


def _parsed(text: bytes) -> Line | None:
    """Return one line of a file; None for what is no line of ours."""
    try:
        found = json.loads(text)
        at, level = float(found["at"]), found["level"]
        if level not in LEVELS or not 0 <= at < LATEST:
            return None
        texts = {key: writable(str(found[key])[-most:]) for key, most in CUT.items() if key in found}
        needed = {"at": at, "level": level, "logger": texts["logger"], "text": texts["text"]}
        return {**needed, **texts, "source": "env"}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
