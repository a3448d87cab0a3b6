"""Takes a sample of the fleet every ten seconds, for rates, latencies of a window, and the last hour's charts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from gym_queue.master.api.census import Census
from gym_queue.master.api.counters import MEASURED, Counters, Totals
from gym_queue.stats.history import STEP_S, History, Number
from gym_queue.stats.latency import Histogram

logger = logging.getLogger(__name__)

WINDOW_S = 600.0
SAVE_EVERY = 6
"""Samples from one writing of the file to the next."""
MOST_CHARS = 4 << 20
"""Of the file; an hour takes a fiftieth of it."""
SHARES = (50, 95, 99)
GAUGES = ("queued", "creating", "ready", "slots", "used", "workers")
RATES = ("creates_per_s", "steps_per_s", "resets_per_s", "errors_per_s")
COLUMNS = (
    *GAUGES,
    *RATES,
    *(f"{what}_p{share}_ms" for what in (*MEASURED, "queue") for share in SHARES),
)


class Sampler:
    """Samples, and what follows from them. Lives on the master's loop.

    Args:
        census: Counts what there is.
        counters: Counts what has happened.
        file: Where the last hour outlives this process; None writes nothing.
        clock: Monotonic seconds.
        wall: Unix seconds.
    """

    def __init__(
        self,
        census: Callable[[], Census],
        counters: Counters,
        *,
        file: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._census, self._counters, self._file = census, counters, file
        self._clock, self._wall = clock, wall
        self.history = History(COLUMNS)
        self.rates: dict[str, float] = dict.fromkeys(RATES, 0.0)
        """Of the last sample's ten seconds."""
        self._marks: deque[Totals] = deque([counters.totals(clock())], maxlen=int(WINDOW_S / STEP_S) + 1)
        self._writing: asyncio.Future[None] | None = None

    def tick(self) -> None:
        """Take a sample when it is time."""
        if self._clock() - self._marks[-1].at >= STEP_S:
            self.sample()

    def sample(self) -> None:
        """Take a sample now."""
        now, census = self._counters.totals(self._clock()), self._census()
        before = self._marks[-1]
        self._marks.append(now)
        self.rates = _rates(before, now)
        row: dict[str, Number] = {name: getattr(census, name) for name in GAUGES[:-1]}
        row["workers"] = census.total_workers
        self.history.add(self._wall(), {**row, **self.rates, **_latencies(before, now)})
        self._counters.keep_only(
            frozenset(record.registration.worker_id for record, _status in census.records)
        )
        if self.history.version % SAVE_EVERY == 0:
            self._save_soon()

    def totals(self) -> Totals:
        """Return the counts now."""
        return self._counters.totals(self._clock())

    def window(self, now: Totals) -> tuple[float, dict[str, Histogram]]:
        """Return how many seconds the window is long, and the latencies in it."""
        first = self._marks[0]
        return now.at - first.at, {
            what: now.latencies[what].since(first.latencies[what]) for what in MEASURED
        }

    def last_minute(self, now: Totals) -> tuple[int, int]:
        """Return how many calls, and how many failures of calls, the last minute had."""
        first = self._marks[max(0, len(self._marks) - SAVE_EVERY)]
        calls = [now.latencies[what].count - first.latencies[what].count for what in ("reset", "step")]
        return max(0, sum(calls)), max(0, now.errors - first.errors)

    def load(self) -> None:
        """Take back the hour that an earlier process wrote; one that cannot be read is left out."""
        if self._file is None:
            return
        try:
            with self._file.open() as file:  # a longer one is cut, and thereby no JSON
                self.history.load(file.read(MOST_CHARS), now=self._wall())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            logger.warning("the last hour in %s cannot be read, and is left out: %s", self._file, error)

    async def stop(self) -> None:
        """Write the last hour for the next process."""
        if self._writing is not None:
            await self._writing
        if self._file is not None and self.history.version:
            await asyncio.to_thread(_write, self._file, self.history.dump())

    def _save_soon(self) -> None:
        if self._file is None or (self._writing is not None and not self._writing.done()):
            return
        work = asyncio.to_thread(_write, self._file, self.history.dump())
        self._writing = asyncio.ensure_future(work)


def percentiles(histogram: Histogram) -> dict[str, float | None]:
    """Return ``p50_ms`` and the others; None of nothing."""
    return {
        f"p{share}_ms": round(1000 * histogram.quantile_s(share / 100), 3) if histogram.count else None
        for share in SHARES
    }


def _latencies(before: Totals, now: Totals) -> dict[str, Number]:
    found: dict[str, Number] = {}
    parts = {what: (now.latencies[what], before.latencies[what]) for what in MEASURED}
    for what, (new, old) in {**parts, "queue": (now.queued, before.queued)}.items():
        found |= {f"{what}_{name}": value for name, value in percentiles(new.since(old)).items()}
    return found


def _rates(before: Totals, now: Totals) -> dict[str, float]:
    counts = (
        now.created - before.created,
        now.steps - before.steps,
        now.latencies["reset"].count - before.latencies["reset"].count,
        now.errors + now.failed - before.errors - before.failed,
    )
    took_s = max(now.at - before.at, 1e-3)
    return {name: round(max(0, count) / took_s, 3) for name, count in zip(RATES, counts, strict=True)}


def _write(file: Path, text: str) -> None:
    """Replace a file's text; statistics are not worth an end of the master."""
    new = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        new.write_text(text)
        new.replace(file)
    except OSError as error:
        logger.warning("the last hour cannot be written to %s: %s", file, error.strerror)
