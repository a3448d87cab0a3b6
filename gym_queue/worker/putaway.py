"""Moving an episode's folder out of its environment's, before that is removed: by renames, which take no time."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_queue.protocol.episodes import EPISODE_PATTERN
from gym_queue.protocol.sessions import ENV_ID_PATTERN
from gym_queue.worker.cleanup import remove_tree

logger = logging.getLogger(__name__)

FILES = "files"
"""The episode's own folder, in its entry of the archive."""
PARTING = "@"
"""Between env_id and episode in an entry's name; neither has one."""
INCOMING = ".incoming-"
"""Before the name of an entry that is being copied into the archive."""
MOST_NAMESAKES = 999
_EPISODE = re.compile(EPISODE_PATTERN)
_ENTRY = re.compile(f"{ENV_ID_PATTERN[:-1]}{PARTING}{EPISODE_PATTERN[1:]}")
_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)


@dataclass(frozen=True, slots=True)
class KeepRule:
    """Where episodes go, and when they may."""

    archive: Path
    """The worker's own folder of finished episodes."""
    staging: Path
    """Where those wait that must be copied there; on the file system of the environments' folders."""
    min_free: float = 0.1
    """Share of the archive's disk that must be free."""

    @classmethod
    def parse(cls, given: list[Any] | None) -> KeepRule | None:
        """Return a rule as ``dump`` wrote it."""
        return None if given is None else cls(Path(given[0]), Path(given[1]), given[2])

    def dump(self) -> list[Any]:
        """Return the rule as JSON has it."""
        return [str(self.archive), str(self.staging), self.min_free]

    def has_room(self) -> bool:
        """Return whether the disk has room for more."""
        disk = os.statvfs(self.archive)
        return disk.f_bavail >= self.min_free * disk.f_blocks


def put_all_away(work_dir: Path, env_id: str, rule: KeepRule | None) -> None:
    """Move the episodes of an environment that has ended out of its folder; None keeps none."""
    if rule is not None:
        for episode in _episodes(work_dir / "episodes"):
            put_away(episode, env_id, rule)


def put_away(episode: Path, env_id: str, rule: KeepRule) -> None:
    """Move an episode's folder into the archive, or to where it waits to be copied; what cannot be moved stays.

    Args:
        episode: In its environment's folder.
        env_id: The environment.
        rule: Where to.
    """
    try:
        if not stat.S_ISDIR(episode.lstat().st_mode):
            return
        if not rule.has_room():
            logger.warning("episode %s of %s is not kept: the disk is nearly full", episode.name, env_id)
            return
        entry = episode.with_name(f".{episode.name}")
        entry.mkdir(mode=0o700)
        episode.rename(entry / FILES)
        move_entry(entry, f"{env_id}{PARTING}{episode.name}", rule)
    except OSError as error:
        logger.warning("episode %s of %s is not kept: %s", episode.name, env_id, error)


def move_entry(entry: Path, name: str, rule: KeepRule) -> None:
    """Move an entry into the archive under a name that is free there, or to where it waits to be copied.

    Raises:
        OSError: It cannot be moved.
    """
    try:
        rename_free(entry, rule.archive, name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        rule.staging.mkdir(mode=0o700, exist_ok=True)
        rename_free(entry, rule.staging, name)


def rename_free(entry: Path, folder: Path, name: str) -> Path:
    """Move an entry into a folder under a name that is free there, and return where it is.

    Raises:
        OSError: It cannot be moved, or too many bear its name.
    """
    for candidate in _names(name):
        try:
            return entry.rename(folder / candidate)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
    raise OSError(errno.EEXIST, f"{MOST_NAMESAKES} episodes bear its name", name)


def copy_entry(waiting: Path, rule: KeepRule) -> None:
    """Copy an entry into the archive, where it appears once it is whole, if it can be."""
    incoming = rule.archive / f"{INCOMING}{os.getpid()}-{waiting.name}"
    try:
        if not rule.has_room():
            logger.warning("the episode %s is not kept: the disk is nearly full", waiting.name)
            return
        shutil.copytree(waiting, incoming, symlinks=True, copy_function=_copy_regular)
        rename_free(incoming, rule.archive, waiting.name)
    except (OSError, shutil.Error) as error:
        logger.warning("the episode %s is not kept: %s", waiting.name, error)
        remove_tree(incoming)


def entries(folder: Path) -> list[Path]:
    """Return the entries of a folder of episodes; none of one that is not there."""
    with suppress(OSError):
        return [folder / name for name in os.listdir(folder) if is_entry(name)]  # noqa: PTH208  paths of few of them
    return []


def is_entry(name: str) -> bool:
    """Return whether a file's name is an entry's."""
    return _ENTRY.fullmatch(name) is not None


def split_name(name: str) -> tuple[str, str]:
    """Return env_id and episode of an entry."""
    env_id, _, episode = name.partition(PARTING)
    return env_id, episode


def _names(name: str) -> Iterator[str]:
    env_id, episode = split_name(name)
    plain = f"{env_id}{PARTING}{episode.partition('.')[0]}"
    yield name
    for number in range(2, MOST_NAMESAKES + 1):
        yield f"{plain}.{number}"


def _episodes(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder / name for name in os.listdir(folder) if _EPISODE.match(name))  # noqa: PTH208
    return []


def _copy_regular(source: str, target: str) -> None:
    if Path(source).is_file():  # not a FIFO, whose reading never ends
        shutil.copy2(source, target, follow_symlinks=False)
