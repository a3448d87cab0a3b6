"""A running episode's trajectory, read from its file in pieces while it grows."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NoReturn

from gym_queue.errors import GymQueueError
from gym_queue.runners.beneath import open_file
from gym_queue.worker.episodefiles import is_deep

FILE = Path("traj.jsonl")
REPLY_BYTES = 256 << 10
"""Of events in one reply; the first is sent whatever it takes."""
EVENT_BYTES = 64 << 10
"""A longer event is cut."""
PLACES = 8
"""Events whose place in the file is remembered: readers mostly ask where they stopped."""
CHUNK_BYTES = 1 << 20


class TrajectoryReader:
    """Reads one environment's trajectories for any number of readers, one at a time.

    Attributes:
        lock: To be held while ``read`` runs in a thread.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self._folder: Path | None = None
        self._places: dict[int, int] = {}

    def read(self, folder: Path, after: int, limit: int) -> tuple[list[bytes], int]:
        """Return events as JSON, and the number to go on after.

        Args:
            folder: The episode's.
            after: How many events to pass over.
            limit: Most events to return.
        """
        if folder != self._folder:
            self._folder, self._places = folder, {}
        try:
            file = os.fdopen(open_file(folder, FILE), "rb")
        except GymQueueError:
            return [], 0  # the episode begins, or its folder goes
        with file:
            count = self._seek(file, after)
            events: list[bytes] = []
            if count == after:
                events = list(_events(file, limit))
                self._remember(after + len(events), file.tell())
            return events, count + len(events)

    def _seek(self, file: IO[bytes], after: int) -> int:
        """Go to the event after so many; return how many were passed over, all that there are at most."""
        place = self._places.get(after)
        if place is not None and place <= os.fstat(file.fileno()).st_size:
            file.seek(place)
            return after
        count = 0
        while count < after and (chunk := file.read(CHUNK_BYTES)):
            lines = chunk.count(b"\n")
            if count + lines < after:
                count += lines
                continue
            at = -1
            for _ in range(after - count):
                at = chunk.index(b"\n", at + 1)
            file.seek(at + 1 - len(chunk), os.SEEK_CUR)
            return after
        return count

    def _remember(self, number: int, place: int) -> None:
        self._places.pop(number, None)
        self._places[number] = place
        if len(self._places) > PLACES:
            del self._places[next(iter(self._places))]


def _events(file: IO[bytes], limit: int) -> Iterator[bytes]:
    """Yield whole lines up to the limits; leaves the file where the next begins."""
    size = 0
    for _ in range(limit):
        start = file.tell()
        line, length = _line(file)
        event = _event(line, length)
        if not line or (size and size + len(event) > REPLY_BYTES):
            file.seek(start)
            return
        size += len(event)
        yield event


def _line(file: IO[bytes]) -> tuple[bytes, int]:
    """Return the start of the next line and how long it is; nothing of one that is still being written."""
    line = file.readline(EVENT_BYTES)
    length, end = len(line), line[-1:]
    while end not in (b"", b"\n"):
        rest = file.readline(CHUNK_BYTES)
        length, end = length + len(rest), rest[-1:]
    return (line, length) if end == b"\n" else (b"", 0)


def _event(line: bytes, length: int) -> bytes:
    """Return an event as JSON that any reader takes; a file may have been copied over the trajectory."""
    if length == len(line):
        try:
            event = json.loads(line.decode(), parse_constant=_refuse)
            if isinstance(event, dict) and not is_deep(event):
                return line.rstrip()
        except (ValueError, RecursionError):
            pass
        return b'{"event":"unreadable","cut_bytes":%d}' % length
    return b'{"event":"cut","cut_bytes":%d}' % length


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
