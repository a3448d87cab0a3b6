"""How far a run is, and how fast it goes."""

from __future__ import annotations

from collections.abc import Callable

from gym_queue.benchmark.attempt import Attempt, Key, Outcome
from gym_queue.benchmark.events import Dropped, Ended, Event, Passing, Started, Stepped
from gym_queue.benchmark.usage import COST, tokens_of

SILENT_SHOWN_S = 2.0
"""A master that was away for less is not worth a word."""


class Pace:
    """Counts what happens.

    Args:
        total: Attempts to be run.
        clock: Seconds; the run begins now.
    """

    def __init__(self, total: int, clock: Callable[[], float]) -> None:
        self.total, self.now = total, clock
        self.counts = dict.fromkeys(Outcome, 0)
        self.steps: dict[Key, int] = {}
        """Running attempts, and how many steps each has taken."""
        self._scored = 0
        self._tokens = self._cost = 0.0
        self._silent_s = 0.0
        self._lost = 0
        self._envs: set[str] = set()
        self._started = clock()

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        match event:
            case Started(key):
                self._envs.add(key.env)
                self.steps[key] = 0
            case Stepped(key, steps):
                self.steps[key] = steps
            case Dropped(key):
                self.steps.pop(key, None)
            case Passing(silent_s):
                self._silent_s = silent_s
            case Ended(attempt):
                self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        self.steps.pop(attempt.key, None)
        self.counts[attempt.outcome] += 1
        self._scored += attempt.is_scored
        self._lost += len(attempt.lost)
        self._tokens += tokens_of(attempt) or 0.0
        self._cost += attempt.usage.get(COST, 0.0)

    @property
    def ended(self) -> int:
        """Attempts that ended."""
        return sum(self.counts.values())

    @property
    def running(self) -> int:
        """Attempts that run now."""
        return len(self.steps)

    def line(self) -> str:
        """Return the run in one line."""
        elapsed_s = max(self.now() - self._started, 1e-9)
        passed = self.counts[Outcome.PASSED]
        parts = [f"{self.ended} of {self.total} ended", f"{self.running} running"]
        if self._scored:
            parts.append(f"{passed} of {self._scored} scored passed ({passed / self._scored:.0%})")
        if self.ended:
            left_s = (self.total - self.ended) * elapsed_s / self.ended
            parts += [f"{60 * self.ended / elapsed_s:.1f} a minute", f"about {_long(left_s)} left"]
        parts += [f"{_count(self._tokens)} tokens"] if self._tokens else []
        parts += [f"{self._cost:.2f} USD"] if self._cost else []
        parts += [f"{self._lost} tries lost"] if self._lost else []
        if self._silent_s >= SILENT_SHOWN_S:
            parts.append(f"waiting for the master, silent for {self._silent_s:.0f} s")
        return ", ".join(parts)

    def name(self, key: Key) -> str:
        """Return what to call an attempt: with its environment where there are several."""
        return task_name(key) if len(self._envs | {key.env}) == 1 else f"{key.env}/{task_name(key)}"


def task_name(key: Key) -> str:
    """Return an attempt's task, and which attempt at it this is."""
    return f"{key.task_id} #{key.repeat + 1}" if key.repeat else key.task_id


def _long(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 90 else f"{minutes / 60:.1f} h"


def _count(number: float) -> str:
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f}{sign}"
    return f"{number:.0f}"
