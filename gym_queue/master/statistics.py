"""Celery's statistics at the master: fed from the event stream, and written down so that the next master goes on."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from gym_queue.broker.events import OnEvent
from gym_queue.broker.handover import Handover
from gym_queue.master.fleet import Fleet
from gym_queue.master.state import Place
from gym_queue.stats.events import NodeEvent, TaskEvent, parse_event
from gym_queue.stats.taskrecord import NODE_PREFIX
from gym_queue.stats.tasks import TaskStats, shorten

logger = logging.getLogger(__name__)

PAUSE_S = 10.0
"""Between two writes."""
MOST_BYTES = 8 * 2**20
"""Of the file; a longer one is not written, nor read."""


def take_events(tasks: TaskStats, fleet: Fleet, events: Sequence[TaskEvent | NodeEvent]) -> None:
    """Take Celery's events: as statistics, and as signs of life or of the end of workers."""
    heard: set[str] = set()
    for event in events:
        try:
            tasks.apply(event)
        except Exception:
            logger.exception("an event of Celery was not counted, which is a bug")
        worker_id = event.node.removeprefix(NODE_PREFIX)
        if isinstance(event, NodeEvent) and not event.is_online:
            heard.discard(worker_id)
            fleet.suspect(worker_id)
        else:
            heard.add(worker_id)
    for worker_id in heard:
        fleet.hear(worker_id)


def into(loop: asyncio.AbstractEventLoop, tasks: TaskStats, fleet: Fleet) -> OnEvent:
    """Return what hands raw events on: they are parsed on the listener's thread, and taken on the loop."""
    inbox = Handover[TaskEvent | NodeEvent](loop, partial(take_events, tasks, fleet))

    def put(raw: dict[str, Any]) -> None:
        event = parse_event(raw)
        if event is not None:
            inbox.put(event)

    return put


@asynccontextmanager
async def kept(tasks: TaskStats, place: Place, *, fresh: bool) -> AsyncIterator[None]:
    """Go on with the statistics of an earlier master, and write them down inside the block and at its end.

    Args:
        tasks: The statistics.
        place: Where the master's files are.
        fresh: Leave aside what the earlier one wrote.
    """
    file = StatisticsFile(place.folder / f"statistics-{place.name}.json", tasks)
    if not fresh:
        await asyncio.to_thread(file.restore)
    ending = asyncio.Event()
    writing = asyncio.ensure_future(file.keep_written(ending))
    try:
        yield
    finally:
        ending.set()
        await writing


class StatisticsFile:
    """Keeps a TaskStats in a file.

    Args:
        path: The file; its folder is made.
        tasks: What is kept.
    """

    def __init__(self, path: Path, tasks: TaskStats) -> None:
        self._path, self._tasks = path, tasks
        self._written: tuple[int, int] | None = None
        self._is_failing = False

    def restore(self) -> None:
        """Go on from what an earlier master wrote; a file that is not of use is left aside, with a line in the log."""
        try:
            if not self._path.exists():
                return
            self._tasks.restore(from_json(_read(self._path), allow_inf_nan=False))
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            logger.warning("starting without the task statistics of %s: %r", self._path, error)

    async def keep_written(self, ending: asyncio.Event) -> None:
        """Write what has changed, at most every PAUSE_S and once more at the end, never on the loop, never two at once."""
        while not ending.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_S):
                    await ending.wait()
            await self.write()
        await self.write()  # it may have ended in the middle of one

    async def write(self) -> None:
        """Write what there is now, unless nothing has changed."""
        version = self._tasks.version, self._tasks.nodes.version
        if version == self._written:
            return
        facts = self._tasks.facts()
        try:
            await asyncio.to_thread(_write, self._path, facts)
        except OSError as error:
            if not self._is_failing:
                logger.warning("the task statistics cannot be written to %s: %s", self._path, error)
            self._is_failing = True
        else:
            self._written, self._is_failing = version, False


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)  # a longer one is cut, and thereby no JSON


def _write(path: Path, facts: dict[str, object]) -> None:
    """Replace the file at once, readable to this user alone."""
    content = json.dumps(shorten(facts), separators=(",", ":")).encode("utf-8", "replace")
    if len(content) > MOST_BYTES:
        content = json.dumps({**shorten(facts), "tasks": []}, separators=(",", ":")).encode()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    staged.replace(path)
