"""Reading a finished episode's folder, of which every file may be broken, or another than it was."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from gym_queue.env.folder import VIDEO
from gym_queue.env.spool import SPOOL, read_spool
from gym_queue.errors import GymQueueError
from gym_queue.protocol.episodes import FEEDBACK_CHARS, EpisodeRow, Outcome
from gym_queue.runners.beneath import open_file
from gym_queue.worker import artifacts

TEXT_CHARS = 500
"""Longest text of a row but feedback."""
SUMMARY_BYTES = 4 << 20
EVENTS_BYTES = 8 << 20
"""Of traj.jsonl, as events of one reply."""
MOST_EVENTS = 20_000
"""Lines of it: more of them are short, and take a minute to be read."""
MOST_LEVELS = 200
"""Of what is within one another in a JSON object."""
LINE_BYTES = 4096
"""Of a line that only its beginning matters of."""
SKEW_S = 60.0
"""How far a clock may be ahead of the one that looks."""
STEP = b'{"event": "step"'
"""How our own record of a step begins; what callers log begins with its time."""
_PNG = re.compile(r"frame_([0-9]{5,9})\.png")


def read_row(files: Path, worker_id: str, env_id: str, episode: str) -> EpisodeRow:
    """Return what lists show of an episode.

    Args:
        files: Its folder.
        worker_id: Whose it is.
        env_id: Its environment.
        episode: Its name.

    Raises:
        OSError: There is no folder.
    """
    modified = _moment(files.stat().st_mtime, 0.0)
    first, session, last, steps = _read_trajectory(files)
    summary = read_summary(files)
    verdict = _mapping(summary, "verifier")
    error = _mapping(summary, "error")
    started = _moment(first.get("ts"), modified)
    outcome = _outcome(summary, verdict, error)
    return EpisodeRow(
        worker_id=worker_id,
        env_id=env_id,
        episode=episode,
        env=_text(first.get("env")),
        task_id=_text(session.get("task_id")),
        runner=_text(session.get("runner_name")),
        started=started,
        ended=max(started, _moment(last.get("ts"), modified)),
        steps=steps,
        outcome=outcome,
        reward=_number(summary.get("reward"), None) if summary else None,
        passed={"passed": True, "failed": False}.get(outcome),
        reason=_text(summary.get("reason")) if summary else None,
        feedback=_text(verdict.get("feedback"), FEEDBACK_CHARS) if verdict else None,
        error=_text(error.get("error")) if error else None,
        frames=len(frame_numbers(files)),
        has_video=_size(files / VIDEO) > 0,
        size_bytes=sum(size for _, size, _ in _walk(files)),
    )


def read_summary(files: Path) -> dict[str, Any] | None:
    """Return ``summary.json``; None of an episode that did not come to its end."""
    with suppress(GymQueueError, OSError):
        return parse_object(_read(files, "summary.json", SUMMARY_BYTES))
    return None


def read_events(files: Path) -> tuple[list[dict[str, Any]], bool]:
    """Return the trajectory's events, and whether there are more than fit a reply."""
    text = b""
    with suppress(GymQueueError, OSError):
        text = _read(files, "traj.jsonl", EVENTS_BYTES + 1)
    *lines, rest = text.split(b"\n", MOST_EVENTS)
    is_cut = len(text) > EVENTS_BYTES or (len(lines) == MOST_EVENTS and bool(rest))
    if not is_cut:
        lines.append(rest)
    return [event for line in lines if line and (event := parse_object(line)) is not None], is_cut


def frame_numbers(files: Path) -> list[int]:
    """Return the numbers of the frames that are kept, as files or in the spool."""
    names = set(os.listdir(files)) | set(frame_places(files))  # noqa: PTH208
    return sorted({int(match[1]) for name in names if (match := _PNG.fullmatch(name))})


def frame_places(files: Path) -> dict[str, tuple[int, int]]:
    """Return where in the spool each frame is that is no file of its own: its start and size, in bytes."""
    try:
        fd = open_file(files, Path(SPOOL))
    except GymQueueError:
        return {}
    try:
        return read_spool(fd)
    finally:
        os.close(fd)


def list_files(files: Path) -> list[dict[str, Any]]:
    """Return an episode's files but its frames, as EpisodeFile describes them."""
    return artifacts.list_files(files, None)[0]


def parse_object(text: bytes) -> dict[str, Any] | None:
    """Return a JSON object without what JSON cannot say again; None when it is none, or too deep to be said again."""
    try:
        found = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and not is_deep(found) else None


def _read_trajectory(files: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any], int]:
    """Return the first event, the session's, the last one, and the count of steps."""
    first, second, last, steps = b"", b"", b"", 0
    with suppress(GymQueueError, OSError), os.fdopen(open_file(files, Path("traj.jsonl")), "rb") as lines:
        first, second = lines.readline(SUMMARY_BYTES), lines.readline(SUMMARY_BYTES)
        for line in _beginnings(lines):
            steps += line.startswith(STEP)
            last = line
    session = parse_object(second) or {}
    return (
        parse_object(first) or {},
        _mapping(session, "session") or {},
        parse_object(last) or _time_of(last) or session or parse_object(first) or {},
        steps,
    )


def _beginnings(lines: Any) -> Iterator[bytes]:
    """Return the beginning of each line that is left, so that none fills the memory."""
    while line := lines.readline(LINE_BYTES):
        yield line
        while len(line) == LINE_BYTES and not line.endswith(b"\n"):
            line = lines.readline(LINE_BYTES)


def _time_of(line: bytes) -> dict[str, Any]:
    """Return the time of an event of which there is only the beginning."""
    match = re.search(rb'^\{(?:"event": "[a-z_]+", )?"ts": ([0-9]{1,15}(?:\.[0-9]{1,15})?)', line)
    return {"ts": float(match[1])} if match else {}


def _outcome(
    summary: dict[str, Any] | None, verdict: dict[str, Any] | None, error: dict[str, Any] | None
) -> Outcome:
    if summary is None:
        return "unfinished"
    if error is not None:
        return "error"
    if verdict is None or not isinstance(verdict.get("passed"), bool):
        return "unjudged"
    return "passed" if verdict["passed"] else "failed"


def _walk(files: Path) -> Iterator[tuple[str, int, float]]:
    """Return path, size in bytes and time of every regular file; links are not followed."""
    for folder, _, names in os.walk(files):
        for name in names:
            path = Path(folder, name)
            with suppress(OSError):
                found = path.lstat()
                if not path.is_symlink():
                    yield str(path.relative_to(files)), found.st_size, found.st_mtime


def _read(files: Path, name: str, limit_bytes: int) -> bytes:
    with os.fdopen(open_file(files, Path(name)), "rb") as file:
        return file.read(limit_bytes)


def _size(path: Path) -> int:
    with suppress(OSError):
        status = path.lstat()
        return status.st_size if stat.S_ISREG(status.st_mode) else 0
    return 0


def _mapping(holder: Mapping[str, Any] | None, key: str) -> dict[str, Any] | None:
    found = holder.get(key) if holder else None
    return found if isinstance(found, dict) else None


def _number(value: object, default: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and -1e15 < value < 1e15 else default  # type: ignore[operator, arg-type]


def _moment(value: object, default: float) -> float:
    """Return a time of the past: a file may say any, and what never was would head every list."""
    moment: float = _number(value, default)
    return moment if 0 <= moment <= time.time() + SKEW_S else default


def _text(value: object, most: int = TEXT_CHARS) -> str | None:
    return _printable(value[:most]) if isinstance(value, str) and value else None


def _printable(text: str) -> str:
    """Return a text that is UTF-8: halves of surrogate pairs are none."""
    return text.encode("utf-8", "replace").decode()


def is_deep(value: object) -> bool:
    """Return whether a JSON value has more within one another than readers may take."""
    level = [value]
    for _ in range(MOST_LEVELS):
        inner = [each for each in level if isinstance(each, dict | list)]
        if not inner:
            return False
        level = [one for each in inner for one in (each.values() if isinstance(each, dict) else each)]
    return True


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
