"""A run's output folder: its layout, what is kept in it, and which run it is of. See docs/benchmarks.md."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, JsonValue, ValidationError

from gym_queue.benchmark.attempt import Attempt, Key
from gym_queue.benchmark.config import BenchmarkConfig
from gym_queue.benchmark.info import FORMAT, RunInfo, TaskInfo
from gym_queue.benchmark.recorder import writing
from gym_queue.errors import PathNotFound, RequestInvalid
from gym_queue.version import __version__

logger = logging.getLogger(__name__)

RUN, ATTEMPTS, FOLDERS, OLD_RESULTS = "run.json", "attempts.jsonl", "attempts", "results.json"
FREE = frozenset(
    {
        *("env", "corpus", "output", "exp_name", "resume", "frames", "parallel", "lost_retries"),
        *("remote_url", "remote_timeout_s", "remote_gone_timeout_s", "remote_worker_reset_policy"),
        *("agent_timeout_s", "model", "temperature"),
    }
)
"""What may differ when a run is resumed: where and how fast it runs. Environments are compared by their ids and tasks,
model and temperature as the agent's options."""
SHOWN = 60
"""Characters of a value that differs."""


class _OldResults(BaseModel):
    """What is read of a ``results.json``."""

    version: str
    started_at: datetime
    env_id: str
    env_version: str
    config: dict[str, JsonValue]
    tasks: tuple[str, ...]
    attempts: tuple[Attempt, ...]

    @property
    def env(self) -> str:
        """Name of the env folder."""
        return Path(str(self.config.get("env", ""))).name


class RunFolder:
    """A run's output folder, open for writing; any thread may append.

    Args:
        path: The folder.
        kept: What earlier programs left there.
        held: A descriptor that keeps other programs out until ``close``.
    """

    def __init__(self, path: Path, kept: Mapping[Key, Attempt], held: int) -> None:
        self.path = path
        self.kept = dict(kept)
        self._held = held
        self._lock = threading.Lock()

    def append(self, attempt: Attempt) -> None:
        """Keep an attempt for good; one that the run's end cut short is none.

        Raises:
            OutputFailed: It cannot be written.
        """
        if attempt.is_cancelled:
            return
        line = (attempt.model_dump_json() + "\n").encode()
        with self._lock, writing(self.path), (self.path / ATTEMPTS).open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Let other programs in; called once."""
        os.close(self._held)


def attempt_folder(key: Key) -> str:
    """Return an attempt's own folder, relative to the run's."""
    return f"{FOLDERS}/{key.env}/{key.task_id}/{key.repeat}"


def open_folder(path: Path, run: RunInfo, *, resume: bool) -> RunFolder:
    """Make a run's folder, or go on with one.

    Args:
        path: The folder.
        run: What is to be run.
        resume: Go on with the run that is there, if any.

    Raises:
        RequestInvalid: Another run is there, or one is and it was not asked to go on with it, or it goes on just now.
        OutputFailed: It cannot be written.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        held = os.open(path, os.O_RDONLY)
    try:
        _keep_others_out(path, held)
        return RunFolder(path, _prepare(path, run, resume=resume), held)
    except BaseException:
        os.close(held)
        raise


def _keep_others_out(path: Path, held: int) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RequestInvalid(
            f"another program writes to {path} now: wait for its end, or give another --output"
        ) from None
    except OSError as error:  # a file system without locks
        logger.warning("%s cannot be locked, let no other run write to it: %s", path, error)


def _prepare(path: Path, run: RunInfo, *, resume: bool) -> dict[Key, Attempt]:
    """Make the folder that run's; return what is kept in it."""
    has_run = (path / RUN).exists()
    if has_run and not resume and read_attempts(path):
        raise RequestInvalid(
            f"{path} holds a run already: add --resume to go on with it, or give another --output"
        )
    if not has_run or not resume:
        kept = _read_old(path) if resume else {}
        with writing(path):
            write_whole(path / ATTEMPTS, "".join(f"{each.model_dump_json()}\n" for each in kept.values()))
            write_whole(path / RUN, run.model_dump_json(indent=2) + "\n")
        return kept
    _check_same(path, read_run(path), run)
    _mend(path / ATTEMPTS)
    return read_attempts(path)


def read_run(path: Path) -> RunInfo:
    """Return what the run of a folder was asked to do.

    Raises:
        PathNotFound: No run is there.
        RequestInvalid: Its ``run.json`` cannot be read, or is of a later version.
    """
    try:
        text = (path / RUN).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        if (path / OLD_RESULTS).exists():
            return _old_run(path)
        raise PathNotFound(
            f"{path} holds no run: it has no {RUN}; give a folder that --output made"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RequestInvalid(f"{path / RUN} cannot be read: {error}") from None
    try:
        run = RunInfo.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise RequestInvalid(f"{path / RUN} is not that of a run: {first['loc']}: {first['msg']}") from None
    if run.format > FORMAT:
        raise RequestInvalid(
            f"{path} is in format {run.format}, and gym-queue {__version__} reads {FORMAT}: use gym-queue {run.version}"
        )
    return run


def read_attempts(path: Path) -> dict[Key, Attempt]:
    """Return the attempts kept in a folder, the last line of each; a torn last line is none.

    Raises:
        RequestInvalid: A line is not that of an attempt.
    """
    try:
        content = (path / ATTEMPTS).read_bytes()
    except FileNotFoundError:
        return _read_old(path)
    found: dict[Key, Attempt] = {}
    for number, line in enumerate(content.split(b"\n")[:-1], start=1):
        try:
            attempt = Attempt.model_validate_json(line)
        except ValidationError:
            raise RequestInvalid(
                f"line {number} of {path / ATTEMPTS} is not an attempt: take it out, and its attempt is run again with --resume"
            ) from None
        if not attempt.env:  # a line from before there could be several environments
            attempt = attempt.model_copy(update={"env": read_run(path).tasks[0].env})
        found[attempt.key] = attempt
    return found


def write_whole(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    staged = path.with_name(f".{path.name}.new")
    try:
        with staged.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def _read_old(path: Path) -> dict[Key, Attempt]:
    """Return the attempts of a folder from before there was a layout: it has a ``results.json`` alone."""
    if not (path / OLD_RESULTS).exists():
        return {}
    old = _old_results(path)
    named = [each.model_copy(update={"env": each.env or old.env}) for each in old.attempts]
    return {each.key: each for each in named if not each.is_cancelled}


def _old_run(path: Path) -> RunInfo:
    old = _old_results(path)
    seed = old.config.get("seed")
    return RunInfo(
        version=old.version,
        started_at=old.started_at,
        env_id=old.env_id,
        env_version=old.env_version,
        config=old.config,
        seeds=(seed if isinstance(seed, int) else 0,),
        tasks=tuple(TaskInfo(env=old.env, task_id=task) for task in old.tasks),
    )


def _old_results(path: Path) -> _OldResults:
    try:
        return _OldResults.model_validate_json((path / OLD_RESULTS).read_bytes())
    except (OSError, ValidationError):
        raise RequestInvalid(
            f"{path / OLD_RESULTS} is not that of a run: give another --output, or move it away"
        ) from None


def _check_same(path: Path, there: RunInfo, asked: RunInfo) -> None:
    differences = [*_differences(there, asked)]
    if differences:
        raise RequestInvalid(
            f"{path} is of another run: {'; '.join(differences)}; give that run's flags, or another --output"
        )


def _differences(there: RunInfo, asked: RunInfo) -> Iterable[str]:
    pairs: dict[str, tuple[Any, Any]] = {}
    before, now = ({each.env: each for each in run.envs} for run in (there, asked))
    for env in before.keys() & now.keys():
        for name in ("env_id", "env_version"):
            pairs[f"{name} of {env}"] = (getattr(before[env], name), getattr(now[env], name))
    for name in sorted((there.config.keys() | asked.config.keys()) - FREE):
        pairs[name] = (_asked(there, name), _asked(asked, name))
    for name, (old, new) in pairs.items():
        if old != new:
            yield f"its {name} is {_short(old)}, not {_short(new)}"
    tasks = ({(task.env, task.task_id) for task in run.tasks} for run in (there, asked))
    missing = len(next(tasks) ^ next(tasks))
    if missing:
        yield f"{missing} of the tasks are in one of them alone"


def _asked(run: RunInfo, name: str) -> Any:
    """Return a flag of a run; of one from before there was such a flag, its default."""
    if name in run.config or name not in BenchmarkConfig.model_fields:
        return run.config.get(name)
    default = BenchmarkConfig.model_fields[name].get_default(call_default_factory=True)
    return default.model_dump(mode="json") if isinstance(default, BaseModel) else default


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}.."


def _mend(path: Path) -> None:
    """Cut off a torn last line, so that the next one begins where lines do."""
    with writing(path), path.open("ab+") as file:
        file.seek(0)
        content = file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            file.truncate(whole)
