"""Checkpoints of this host: an index of what runners kept, shared by all its environments, evicted by size and age.

A checkpoint exists once its record does: the record is written last, whole, by a rename. What a save that was
broken off left behind has no record, is never used, and is removed by the next save or purge of its key.
"""

from __future__ import annotations

import fcntl
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gym_queue.errors import GymQueueError, NotSupported, RunnerFailed
from gym_queue.runners.base import Checkpoints, CheckpointStorage, MachineCheckpoints, Runner
from gym_queue.runners.registry import open_storage

logger = logging.getLogger(__name__)

Level = Literal["pre_start", "post_start", "post_task", "state"]
STATE: Level = "state"
"""The level of what ``save_state`` keeps: asked for by name, and so never evicted for its size."""


class CacheLimits(BaseModel):
    """What checkpoints of one host may take."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_bytes: int = Field(50 << 30, ge=0)
    """Of all checkpoints together; the least recently used go first."""
    max_age_s: float = Field(30 * 86_400.0, gt=0)
    """How long one may lie unused."""


class CheckpointRecord(BaseModel):
    """One checkpoint."""

    model_config = ConfigDict(frozen=True)

    key: str = Field(pattern=r"^[a-z0-9-]{1,80}$")
    """Digest of all that shapes it; see env/digest.py."""
    runner: str
    """Runner that made it and can start from it."""
    env: str
    """Id of its environment's spec."""
    task: str | None = None
    """Id of its task; None below post_task."""
    level: Level
    """How far the environment had come."""
    machine: bool = False
    """Whether it holds a machine that runs, memory and all, not files alone."""
    size_bytes: int = Field(ge=0)
    """What it takes on disk, beside what it shares with its image."""
    created_at: float
    """Unix seconds."""
    used_at: float = 0.0
    """Unix seconds; the time of the record's file, so that a use need not write it."""


def keeps_files_alone(runner: str) -> NotSupported:
    """Return the error for a machine that runs, of a runner that keeps none."""
    return NotSupported(
        f"the {runner} runner keeps files, not a running machine: reset with use_cache, without use_savevm"
    )


def _saver(runner: Runner, record: CheckpointRecord) -> Callable[[str], int]:
    if not isinstance(runner, Checkpoints):
        raise NotSupported(f"the {record.runner} runner keeps no checkpoints: reset without use_cache")
    if not record.machine:
        return runner.save_checkpoint
    if not isinstance(runner, MachineCheckpoints):
        raise keeps_files_alone(record.runner)
    return runner.save_machine


class CheckpointCache:
    """The checkpoints of this host's user.

    Args:
        root: Folder of the records, and of what runners keep as files; made on first use.
        limits: What may lie there.
        clock: Unix seconds.
    """

    def __init__(
        self, root: Path, limits: CacheLimits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.root = root
        self._limits = limits or CacheLimits()
        self._clock = clock

    def storage(self, runner: str) -> CheckpointStorage:
        """Return where a runner keeps its checkpoints.

        Raises:
            NotSupported: It keeps none.
        """
        storage = open_storage(runner, self.root / runner)
        if storage is None:
            raise NotSupported(f"the {runner} runner keeps no checkpoints: reset without use_cache")
        return storage

    def find(self, key: str) -> CheckpointRecord | None:
        """Return a checkpoint that can be started from, and mark it used."""
        record = self._read(self._path(key))
        if record is None:
            return None
        if not self.storage(record.runner).holds(key):
            logger.warning("the checkpoint %s has a record and no content: it is forgotten", key)
            self._path(key).unlink(missing_ok=True)
            return None
        os.utime(self._path(key), (self._clock(), self._clock()))
        return record

    def save(self, runner: Runner, record: CheckpointRecord) -> CheckpointRecord | None:
        """Keep a sandbox's state as it is now.

        Args:
            runner: The sandbox.
            record: What it is; its size is filled in here.

        Returns:
            The record; None when another environment is saving the same one right now, or did.

        Raises:
            NotSupported: The runner keeps no checkpoints, or none of this kind.
            RunnerFailed: It could not be kept; nothing of it is used.
        """
        save = _saver(runner, record)
        with self._alone(record.key) as is_ours:
            if not is_ours or self._path(record.key).exists():
                return None
            self.storage(record.runner).remove(record.key)  # of a save that was broken off
            size_bytes = save(record.key)
            kept = record.model_copy(update={"size_bytes": size_bytes})
            self._write(kept)
        logger.info("kept the checkpoint %s of %s (%s, %d bytes)", kept.key, kept.env, kept.level, size_bytes)
        self.evict(keep=kept.key)
        return kept

    def records(self) -> list[CheckpointRecord]:
        """Return all checkpoints, the most recently used first."""
        found = (self._read(path) for path in self.root.glob("*.json"))
        return sorted((each for each in found if each), key=lambda each: each.used_at, reverse=True)

    def remove(self, key: str) -> None:
        """Remove a checkpoint: from now on it is never used, whatever of it can still be removed."""
        record = self._read(self._path(key))
        self._path(key).unlink(missing_ok=True)
        if record is not None:
            self.storage(record.runner).remove(key)

    def evict(self, *, keep: str | None = None) -> list[CheckpointRecord]:
        """Remove what is too old or, least recently used first, too much; returns what went.

        Args:
            keep: A key that stays, however large it is.
        """
        now, total, gone = self._clock(), 0, []
        for record in self.records():
            is_state = record.level == STATE
            total += 0 if is_state else record.size_bytes
            is_old = now - record.used_at > self._limits.max_age_s
            if record.key != keep and (is_old or (total > self._limits.max_bytes and not is_state)):
                gone.append(record)
                total -= 0 if is_state else record.size_bytes
        for record in gone:
            self._evict_one(record)
        return gone

    def _evict_one(self, record: CheckpointRecord) -> None:
        try:
            self.remove(record.key)
            logger.info("evicted the checkpoint %s of %s (%s)", record.key, record.env, record.level)
        except GymQueueError as error:
            logger.warning("the checkpoint %s is forgotten and could not be removed: %s", record.key, error)

    def _path(self, key: str) -> Path:
        return self.root / f"{key}.json"

    def _read(self, path: Path) -> CheckpointRecord | None:
        try:
            record = CheckpointRecord.model_validate_json(path.read_bytes())
            return record.model_copy(update={"used_at": path.stat().st_mtime})
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            logger.warning("the checkpoint record %s cannot be read, and is passed over: %s", path, error)
            return None

    def _write(self, record: CheckpointRecord) -> None:
        staged = self.root / f".{record.key}.{os.getpid()}.part"
        try:
            staged.write_text(record.model_dump_json(exclude={"used_at"}))
            staged.rename(self._path(record.key))
        except OSError as error:
            staged.unlink(missing_ok=True)
            raise RunnerFailed(
                f"the checkpoint {record.key} cannot be recorded in {self.root}: {error.strerror}"
            ) from error

    @contextmanager
    def _alone(self, key: str) -> Iterator[bool]:
        """Hold a key's lock; gives False when another process holds it. The lock ends with its holder."""
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = (self.root / f".{key}.lock").open("w")
        except OSError as error:
            raise RunnerFailed(f"checkpoints cannot be kept in {self.root}: {error.strerror}") from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True
