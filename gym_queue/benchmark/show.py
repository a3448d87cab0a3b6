"""A run on the screen: progress while it goes on, and a table of what it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gym_queue.benchmark.attempt import Attempt, Outcome
from gym_queue.benchmark.events import Ended, Event, OnEvent, Said
from gym_queue.benchmark.pace import Pace, task_name
from gym_queue.benchmark.results import Results

MARKS = {Outcome.PASSED: ("✓", "green"), Outcome.FAILED: ("✗", "red"), Outcome.ERROR: ("!", "yellow")}
"""Outcome → its sign and colour."""
RUNNING_SHOWN = 10
"""Running attempts that live progress names."""
FEEDBACK_CHARS = 300
"""Longest feedback in the table; the results' file has it whole."""
SAY_EVERY_S = 30.0
"""Between two lines for the run, where there is no terminal."""
BAR_WIDTH = 30
REFRESH_HZ = 8


@contextmanager
def progress(console: Console, total: int, clock: Callable[[], float] = time.monotonic) -> Iterator[OnEvent]:
    """Show a run's progress for the length of a block: live on a terminal, else in lines.

    Args:
        console: Where to.
        total: Attempts to be run.
        clock: For rates.

    Yields:
        What to tell events to.
    """
    if not console.is_terminal:
        yield LineProgress(console, Pace(total, clock))
        return
    live = LiveProgress(Pace(total, clock))
    shown = Live(get_renderable=live.render, console=console, refresh_per_second=REFRESH_HZ, transient=True)

    def on_event(event: Event) -> None:
        live(event)
        if isinstance(event, Said):
            console.print(Text(event.text), soft_wrap=True)  # above what is live

    with shown:
        yield on_event


class LineProgress:
    """One line for each attempt that ended, and now and then one for the run.

    Args:
        console: Where to.
        pace: Of the run.
    """

    def __init__(self, console: Console, pace: Pace) -> None:
        self._console, self._pace = console, pace
        self._said_at = pace.now()

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        self._pace(event)
        if isinstance(event, Ended):
            self._print(event.attempt)
        if isinstance(event, Said):
            self._console.print(Text(event.text), soft_wrap=True)
        if self._pace.now() - self._said_at >= SAY_EVERY_S and (self._pace.running or self._pace.ended):
            self._said_at = self._pace.now()
            self._console.print(Text(f"-- {self._pace.line()}", style="bold"), soft_wrap=True)

    def _print(self, attempt: Attempt) -> None:
        score = "" if attempt.score is None else f", score {attempt.score:g}"
        lost = f", {_lost(len(attempt.lost))}" if attempt.lost else ""
        why = f": {_feedback(attempt)}" if attempt.error else ""
        took = f"{attempt.steps} steps, {attempt.seconds:.1f} s{lost}{why}"
        name = f"[{self._pace.ended}/{self._pace.total}] {self._pace.name(attempt.key)}"
        line = f"{name}: {attempt.outcome.value}{score}, {took}"
        self._console.print(Text.assemble(_mark(attempt.outcome), " ", line), soft_wrap=True)


class LiveProgress:
    """A bar with the counts of outcomes, the run's pace, and the running attempts.

    Args:
        pace: Of the run.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace

    def __call__(self, event: Event) -> None:
        """Take in what happened."""
        self._pace(event)

    def render(self) -> RenderableType:
        """Return what to show now; called by the thread that refreshes the screen."""
        pace = self._pace
        head = Table.grid(padding=(0, 1))
        counts = Text(" ").join(
            Text(f"{MARKS[outcome][0]} {number} {outcome.value}", style=MARKS[outcome][1])
            for outcome, number in pace.counts.items()
        )
        bar = ProgressBar(total=pace.total, completed=pace.ended, width=BAR_WIDTH)
        head.add_row(bar, Text(f"{pace.ended}/{pace.total}"), counts)
        running = list(pace.steps.items())  # one call: the other thread may change the dict meanwhile
        lines = [Text(f"  {pace.name(key)}: step {steps}") for key, steps in running[:RUNNING_SHOWN]]
        more = len(running) - RUNNING_SHOWN
        return Group(
            head, Text(f"  {pace.line()}"), *lines, *([Text(f"  and {more} more")] if more > 0 else [])
        )


def results_table(results: Results) -> Table:
    """Return a line for each attempt, in the order of the tasks."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    has_workers = any(attempt.worker_id for attempt in results.attempts)
    has_envs = len(results.envs) > 1
    if has_envs:
        table.add_column("environment", overflow="fold")
    table.add_column("task", overflow="fold")
    table.add_column("outcome", no_wrap=True)
    for heading in ("score", "steps", "seconds"):
        table.add_column(heading, justify="right", no_wrap=True)
    if has_workers:
        table.add_column("worker", overflow="fold")
    table.add_column("feedback", overflow="fold")
    for attempt in results.attempts:
        worker = [Text(attempt.worker_id or "")] if has_workers else []
        env = [Text(attempt.env)] if has_envs else []
        table.add_row(
            *env,
            Text(task_name(attempt.key)),
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
    cut = sum(attempt.is_cancelled for attempt in results.attempts)
    said = f"{tally.passed} passed, {tally.failed} failed, {errors}"
    parts = [
        f"{said} of {len(results.tasks) * results.config.repeat} in {results.seconds:.1f} s",
        *([f"mean score {tally.mean_score:.1f}"] if tally.mean_score is not None else []),
        *([f"{_lost(tally.lost_tries)} to the infrastructure"] if tally.lost_tries else []),
        *([f"{cut} cut short"] if cut else []),
        *(["interrupted"] if results.is_interrupted else []),
        *([f"results in {path}"] if path is not None else []),
    ]
    return Text("; ".join(parts), style="bold")


def resume_hint(results: Results) -> Text:
    """Return how to go on with a run that was cut short."""
    done = sum(attempt.is_scored for attempt in results.attempts)
    left = len(results.tasks) * results.config.repeat - done
    return Text(f"{done} attempts are kept, {left} are missing: run the same command again with --resume")


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
