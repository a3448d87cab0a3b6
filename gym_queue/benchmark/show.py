"""A run on the screen: progress while it goes on, and a table of what it found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gym_queue.benchmark.attempt import Attempt, Outcome
from gym_queue.benchmark.events import Ended, Event, OnEvent, Started, Stepped
from gym_queue.benchmark.results import Results

MARKS = {Outcome.PASSED: ("✓", "green"), Outcome.FAILED: ("✗", "red"), Outcome.ERROR: ("!", "yellow")}
"""Outcome → its sign and colour."""
RUNNING_SHOWN = 10
"""Running attempts that live progress names."""
FEEDBACK_CHARS = 300
"""Longest feedback in the table; the results' file has it whole."""
BAR_WIDTH = 30
REFRESH_HZ = 8


@contextmanager
def progress(console: Console, total: int) -> Iterator[OnEvent]:
    """Show a run's progress for the length of a block: live on a terminal, else a line for each attempt.

    Args:
        console: Where to.
        total: Tasks to be run.

    Yields:
        What to tell events to.
    """
    if not console.is_terminal:
        yield LineProgress(console, total)
        return
    live = LiveProgress(total)
    shown = Live(get_renderable=live.render, console=console, refresh_per_second=REFRESH_HZ, transient=True)
    with shown:
        yield live


class LineProgress:
    """One line for each attempt that ended."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._ended = 0

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        if not isinstance(event, Ended):
            return
        self._ended += 1
        attempt = event.attempt
        score = "" if attempt.score is None else f", score {attempt.score:g}"
        lost = f", {_lost(len(attempt.lost))}" if attempt.lost else ""
        why = f": {_feedback(attempt)}" if attempt.error else ""
        name = _name(attempt.task_id, attempt.repeat)
        line = f"[{self._ended}/{self._total}] {name}: {attempt.outcome.value}{score}, {attempt.steps} steps, {attempt.seconds:.1f} s{lost}{why}"
        self._console.print(Text.assemble(_mark(attempt.outcome), " ", line), soft_wrap=True)


class LiveProgress:
    """A bar with the counts of outcomes, and the running attempts."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._counts = dict.fromkeys(Outcome, 0)
        self._running: dict[tuple[str, int], int] = {}

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        if isinstance(event, Started):
            self._running[event.task_id, event.repeat] = 0
        elif isinstance(event, Stepped):
            self._running[event.task_id, event.repeat] = event.steps
        else:
            self._running.pop((event.attempt.task_id, event.attempt.repeat), None)
            self._counts[event.attempt.outcome] += 1

    def render(self) -> RenderableType:
        """Return what to show now; called by the thread that refreshes the screen."""
        ended = sum(self._counts.values())
        head = Table.grid(padding=(0, 1))
        counts = Text(" ").join(
            Text(f"{MARKS[outcome][0]} {number} {outcome.value}", style=MARKS[outcome][1])
            for outcome, number in self._counts.items()
        )
        bar = ProgressBar(total=self._total, completed=ended, width=BAR_WIDTH)
        head.add_row(bar, Text(f"{ended}/{self._total}"), counts)
        running = list(self._running.items())  # one call: the other thread may change the dict meanwhile
        lines = [Text(f"  {_name(*key)}: step {steps}") for key, steps in running[:RUNNING_SHOWN]]
        more = len(running) - RUNNING_SHOWN
        return Group(head, *lines, *([Text(f"  and {more} more")] if more > 0 else []))


def results_table(results: Results) -> Table:
    """Return a line for each attempt, in the order of the tasks."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    has_workers = any(attempt.worker_id for attempt in results.attempts)
    table.add_column("task", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    for heading in ("score", "steps", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    if has_workers:
        table.add_column("worker", overflow="fold")
    table.add_column("feedback", overflow="fold")
    for attempt in results.attempts:
        worker = [Text(attempt.worker_id or "")] if has_workers else []
        table.add_row(
            Text(_name(attempt.task_id, attempt.repeat)),
            Text.assemble(_mark(attempt.outcome), " ", attempt.outcome.value),
            Text("" if attempt.score is None else f"{attempt.score:g}"),
            Text(str(attempt.steps)),
            Text(f"{attempt.seconds:.1f}"),
            *worker,
            Text(_feedback(attempt)),
        )
    return table


def summary(results: Results, path: Path | None) -> Text:
    """Return the run in one line.

    Args:
        results: What it found.
        path: The file that holds it; None when it was not saved.
    """
    tally = results.tally
    errors = "1 error" if tally.errors == 1 else f"{tally.errors} errors"
    said = f"{tally.passed} passed, {tally.failed} failed, {errors}"
    parts = [
        f"{said} of {len(results.tasks) * results.config.repeat} in {results.seconds:.1f} s",
        *([f"mean score {tally.mean_score:.1f}"] if tally.mean_score is not None else []),
        *([f"{_lost(tally.lost_tries)} to the infrastructure"] if tally.lost_tries else []),
        *(["interrupted"] if results.is_interrupted else []),
        *([f"results in {path}"] if path is not None else []),
    ]
    return Text("; ".join(parts), style="bold")


def resume_hint(results: Results) -> Text:
    """Return how to go on with a run that was cut short."""
    done = sum(attempt.is_scored for attempt in results.attempts)
    left = len(results.tasks) * results.config.repeat - done
    return Text(f"{done} attempts are kept, {left} are missing: run the same command again with --resume")


def _name(task_id: str, repeat: int) -> str:
    return f"{task_id} #{repeat + 1}" if repeat else task_id


def _mark(outcome: Outcome) -> Text:
    sign, colour = MARKS[outcome]
    return Text(sign, style=colour)


def _lost(tries: int) -> str:
    return "1 try lost" if tries == 1 else f"{tries} tries lost"


def _feedback(attempt: Attempt) -> str:
    text = f"{attempt.error.code}: {attempt.error.message}" if attempt.error else attempt.feedback
    line = " ".join(text.split())
    if len(line) <= FEEDBACK_CHARS:
        return line
    half = FEEDBACK_CHARS // 2 - 2  # what happened stands first, a traceback's own reason last
    return f"{line[:half]} .. {line[-half:]}"
