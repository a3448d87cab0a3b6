"""Keys of checkpoints: a digest of everything that shapes the state."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gym_queue.env.source import EnvSource
from gym_queue.specs.env import CacheLevel
from gym_queue.specs.loader import resolve_mount

_FORMAT = "gym-queue-checkpoint/1"
_KEY_CHARS = 40
"""Of the SHA-256's hexadecimal digits: 160 bits."""
_TASK_FOLDERS = "tasks"
_SKIPPED = frozenset({"__pycache__", ".git"})

Signature = tuple[tuple[str, int, int], ...]


class FolderDigests:
    """Digests of folders, computed anew only where a file's size or time has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Signature, str]] = {}

    def digest(self, folder: Path, *, skip: str | None = None) -> str:
        """Return a digest of a folder's names, contents and executable bits.

        Args:
            folder: The folder, or a single file.
            skip: A folder directly below that does not count.
        """
        files = [folder] if folder.is_file() else _files_below(folder, skip)
        signature = tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
        known = self._known.get(folder)
        if known is not None and known[0] == signature:
            return known[1]
        total = hashlib.sha256()
        for path in files:
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
            name = path.relative_to(folder).as_posix()
            total.update(f"{name}\0{path.stat().st_mode & 0o111}\0".encode() + content)
        self._known[folder] = (signature, total.hexdigest())
        return total.hexdigest()


class CheckpointKeys:
    """The keys of one environment's checkpoints.

    Args:
        source: The environment and its task.
    """

    def __init__(self, source: EnvSource) -> None:
        self._source = source
        self._folders = FolderDigests()

    def key(self, level: CacheLevel, *, base: str, seed: int | None, machine: bool = False) -> str:
        """Return the key of a level.

        Args:
            level: How far the environment has come.
            base: What the runner says the sandbox is made of: an image's digest.
            seed: Of the reset. It shapes ``post_task`` alone: hooks before it must not depend on it.
            machine: Whether it holds a machine that runs, not files alone.
        """
        source = self._source
        parts: dict[str, Any] = {
            "format": _FORMAT,
            "level": level,
            "runner": source.runner,
            "base": base,
            "spec": _plain(source.spec),
            "files": self._folders.digest(source.env_dir, skip=_TASK_FOLDERS) if source.env_dir else None,
            "mounts": [self._mount(mount.source) for mount in source.spec.mounts],
        }
        if machine:
            parts["kind"] = "machine"
        if level == "post_task":
            parts["task"] = _plain(source.task) if source.task else None
            parts["task_files"] = self._folders.digest(source.task_dir) if source.task_dir else None
            parts["seed"] = seed
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:_KEY_CHARS]

    def _mount(self, name: str) -> str:
        return self._folders.digest(resolve_mount(self._source.env_dir or Path.cwd(), name))


def _plain(model: BaseModel) -> Any:
    return model.model_dump(mode="json")


def _files_below(folder: Path, skip: str | None) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not _SKIPPED.intersection(parts) and parts[0] != skip:
            found.append(path)
    return found
