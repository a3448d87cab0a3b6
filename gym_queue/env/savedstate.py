"""Saved states: a small file that names what a runner keeps on this host."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gym_queue.env.checkpoints import STATE, CheckpointCache, CheckpointRecord
from gym_queue.env.source import EnvSource
from gym_queue.errors import PathNotFound, RequestInvalid, RunnerFailed

STATE_FORMAT = "gym-queue-state/1"
MAX_STATE_BYTES = 4096


class _StateFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    key: str
    runner: str
    env: str


def state_record(source: EnvSource, *, machine: bool) -> CheckpointRecord:
    """Return the record of a state that is about to be saved.

    Args:
        source: The environment.
        machine: Whether it will hold a machine that runs.
    """
    return CheckpointRecord(
        key=f"state-{uuid.uuid4().hex}",
        runner=source.runner,
        env=source.spec.id,
        task=source.task.id if source.task else None,
        level=STATE,
        machine=machine,
        size_bytes=0,
        created_at=time.time(),
    )


def write_state(path: Path, record: CheckpointRecord) -> Path:
    """Write the file that names a state; returns its absolute path.

    Raises:
        PathNotFound: There is a folder in its place, or a file in a folder's.
        RunnerFailed: It cannot be written there.
    """
    state = _StateFile(format=STATE_FORMAT, key=record.key, runner=record.runner, env=record.env)
    if path.is_dir():
        raise _no_place(path)
    staged = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(state.model_dump_json())
        staged.replace(path)
    except (NotADirectoryError, FileExistsError):
        raise _no_place(path) from None
    except OSError as error:
        raise RunnerFailed(f"the state cannot be written to {path}: {error.strerror}") from error
    return path.absolute()


def _no_place(path: Path) -> PathNotFound:
    return PathNotFound(f"{path} cannot be a file: name one that is no folder, in a folder")


def read_state(path: Path, source: EnvSource, checkpoints: CheckpointCache) -> CheckpointRecord:
    """Return what a file of ``write_state`` names.

    Args:
        path: The file.
        source: The environment that is to start from it.
        checkpoints: What this host keeps.

    Raises:
        PathNotFound: There is no such file, or what it names is kept no longer, or on another host.
        RequestInvalid: It is no such file, or of another runner or environment.
    """
    try:
        with path.open("rb") as file:
            state = _StateFile.model_validate_json(file.read(MAX_STATE_BYTES))
    except (FileNotFoundError, IsADirectoryError):
        raise PathNotFound(f"there is no saved state {path}: name what save_state returned") from None
    except (OSError, ValidationError):
        raise RequestInvalid(f"{path} is no saved state: name what save_state returned") from None
    if (state.format, state.runner, state.env) != (STATE_FORMAT, source.runner, source.spec.id):
        raise RequestInvalid(
            f"the saved state {path} is of {state.env} in the {state.runner} runner, and this is "
            f"{source.spec.id} in {source.runner}: load it in one of its own"
        )
    record = checkpoints.find(state.key) if state.key.startswith(f"{STATE}-") else None
    if record is None:
        raise PathNotFound(
            f"what the saved state {path} names is not on this host: it was purged, or saved elsewhere"
        )
    return record
