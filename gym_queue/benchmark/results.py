"""What a run found, and its file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gym_queue.benchmark.attempt import Attempt, Outcome
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.info import EnvInfo
from gym_queue.errors import Cancelled, RequestInvalid
from gym_queue.version import __version__

FILE_NAME = "results.json"
NOT_JUDGED = 3
"""Exit status of a run in which the infrastructure, or the task itself, broke an attempt."""


class Tally(BaseModel):
    """Attempts by their outcome."""

    model_config = ConfigDict(frozen=True)

    passed: int
    failed: int
    """Judged, and not passed."""
    errors: int
    """Not judged; those that the end of the run cut short are not among them."""
    lost_tries: int = 0
    """Tries that the infrastructure broke, whether or not a later one was judged: they are in no score."""
    mean_score: float | None
    """Mean over the attempts that were judged, 0 to 100; None without any."""


class Results(BaseModel):
    """What a run found."""

    model_config = ConfigDict(frozen=True)

    version: str = __version__
    """Of this package."""
    config: BenchmarkConfig
    """As given, with every option of the agent."""
    env_id: str = ""
    """The spec's id; empty for a run of several environments."""
    env_version: str = ""
    envs: tuple[EnvInfo, ...] = ()
    """All of them."""
    tasks: tuple[str, ...]
    """Ids of the tasks that were to be run, in order, those of one environment after those of another."""
    started_at: datetime
    seconds: float
    is_interrupted: bool = False
    """The run was cancelled: tasks without an attempt were not begun, or not ended."""
    tally: Tally
    attempts: tuple[Attempt, ...]
    """In the order of ``tasks``, those of one task by their repeat."""


def tally(attempts: Collection[Attempt]) -> Tally:
    """Count attempts by their outcome."""
    outcomes = [attempt.outcome for attempt in attempts if not attempt.is_cancelled]
    scores = [attempt.score for attempt in attempts if attempt.score is not None]
    return Tally(
        passed=outcomes.count(Outcome.PASSED),
        failed=outcomes.count(Outcome.FAILED),
        errors=outcomes.count(Outcome.ERROR),
        lost_tries=sum(len(attempt.lost) for attempt in attempts),
        mean_score=sum(scores) / len(scores) if scores else None,
    )


def exit_code(results: Results) -> int:
    """Return the program's exit status: 0 when every attempt passed, 1 when one did not, NOT_JUDGED when one says nothing."""
    planned = len(results.tasks) * results.config.repeat
    if planned and results.tally.passed == planned:
        return 0
    silent = [each.error for each in results.attempts if not each.is_scored]
    return NOT_JUDGED if any(error and error.code != Cancelled.code for error in silent) else 1


def prepare_output(output: Path) -> Path:
    """Return the file that results will go to, with its folder made and writable: better now than after the run.

    Args:
        output: A file that ends in ``.json``, or a folder.

    Raises:
        RequestInvalid: It cannot be written.
    """
    path = output if output.suffix == ".json" else output / FILE_NAME
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged = _staged(path)
        staged.touch(exist_ok=False)
        staged.unlink()
    except OSError as error:
        raise _unwritable(path, error) from error
    if path.is_dir():
        raise RequestInvalid(f"the output {path} is a folder whose name ends in .json: give another --output")
    return path


def save(results: Results, path: Path) -> None:
    """Write results as JSON, whole or not at all.

    Raises:
        RequestInvalid: The file cannot be written.
    """
    staged = _staged(path)
    try:
        with staged.open("w", encoding="utf-8") as file:
            file.write(results.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        raise _unwritable(path, error) from error


def _staged(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def _unwritable(path: Path, error: OSError) -> RequestInvalid:
    return RequestInvalid(f"the results {path} cannot be written: {error.strerror}; give another --output")
