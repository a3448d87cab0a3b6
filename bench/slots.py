"""How much of its slots' time a benchmark spends inside episodes, and how much memory each of its loops takes."""

from __future__ import annotations

import json
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psutil

from bench.effort import Effort
from bench.goals import Bound, Goal, Outcome, Row
from bench.runs import Runs

TASKS, REPEATS = 10, 10
SLOTS = 8
SAMPLE_S = 0.5
EVENTS = {"task gym_queue.create_env": "accepted", "opened ": "opened", "closed": "closed"}
"""How a worker's log line begins → what befell an environment."""


@dataclass(frozen=True, slots=True)
class Played:
    """A run, as it was seen from outside."""

    began: float
    """Start of the program; seconds of the system's clock, as all here."""
    ended: float
    lives: Sequence[Mapping[str, float]]
    """Of each environment: ``accepted``, ``opened`` and ``closed``."""
    loop_mb: list[float]
    """Memory of a loop, mean over the loops, by sample."""

    def share(self, since: str, *, whole: bool) -> float:
        """Return the share, in %, of the slots' time between an event of an environment and its close.

        Args:
            since: The event.
            whole: Of the program's time from its start to its end; else of that from the first create to the last close.
        """
        inside_s = sum(life["closed"] - life[since] for life in self.lives)
        first = min(life["accepted"] for life in self.lives)
        last = max(life["closed"] for life in self.lives)
        took_s = self.ended - self.began if whole else last - first
        return 100 * inside_s / (SLOTS * took_s)


def rows() -> list[Row[Runs]]:
    """Return the rows measured here."""
    least = Bound.AT_LEAST
    what = "100 scripted terminal tasks, 8 loops, 8 slots: share of slot time"
    goals = [
        Goal("slots-taken", f"{what} from a create's acceptance to the close, whole program", "%", least, 80),
        Goal(
            "slots-inside",
            f"{what} from an open environment to its close, whole program",
            "%",
            least,
            80,
            binding=False,
        ),
        Goal(
            "slots-steady",
            f"{what} from an open environment to its close, first create to last close",
            "%",
            least,
            80,
        ),
        Goal(
            "loop-memory",
            "memory of a loop that plays terminal tasks (USS)",
            "MB",
            Bound.AT_MOST,
            60,
            binding=False,
        ),
    ]
    return [Row(goals, _slots)]


def _slots(ready: Runs, effort: Effort) -> list[Outcome]:
    played = []
    for number in range(effort.rounds):
        effort.tell(f"100 terminal tasks, round {number + 1} of {effort.rounds}")
        played.append(_play(ready, f"slots-{number}"))
    return [
        Outcome([each.share("accepted", whole=True) for each in played]),
        Outcome([each.share("opened", whole=True) for each in played]),
        Outcome([each.share("opened", whole=False) for each in played]),
        Outcome([max(each.loop_mb) for each in played]),
    ]


def _play(ready: Runs, name: str) -> Played:
    flags = ("--max-tasks", str(TASKS), "--repeat", str(REPEATS), "--parallel", str(SLOTS))
    began = time.time()
    process = ready.start("terminal_env", name, *flags)
    loop_mb = []
    while process.poll() is None:
        loop_mb += list(_loop_memory(process.pid))
        time.sleep(SAMPLE_S)
    ended = time.time()
    ready.finish(process, name)
    lives = [life for life in _lives(ready.fleet.log_text()) if life["accepted"] >= began]
    if len(lives) < TASKS * REPEATS:
        raise SystemExit(f"the workers' logs tell of {len(lives)} environments, not of {TASKS * REPEATS}")
    return Played(began, ended, lives, loop_mb)


def _lives(log: str) -> list[dict[str, float]]:
    """Return when environments were accepted, opened and closed, as the workers logged it."""
    found: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for text in log.splitlines():
        if not text.startswith("{"):
            continue
        line = json.loads(text)
        for begin, event in EVENTS.items():
            if line["message"].startswith(begin) and line["logger"].startswith("gym_queue.worker"):
                found[line["env_id"]][event] = datetime.fromisoformat(line["at"]).timestamp()
    return [life for life in found.values() if set(life) == set(EVENTS.values())]


def _loop_memory(pid: int) -> Iterator[float]:
    """Yield the mean memory of a benchmark's loops: of its descendants that have no children themselves."""
    try:
        below = psutil.Process(pid).children(recursive=True)
        parents = {process.ppid() for process in below}
        used = [process.memory_full_info().uss / 1e6 for process in below if process.pid not in parents]
    except psutil.Error:  # one has just ended
        return
    if len(used) == SLOTS:
        yield statistics.mean(used)
