"""A verifier's own folder, its user, and which other files it may read."""

from __future__ import annotations

import logging
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from gym_queue.errors import VerifierFailed
from gym_queue.runners.beneath import copy_out
from gym_queue.verifiers.base import VerifierRequest
from gym_queue.verifiers.cage import can_read_all, landlock_version

logger = logging.getLogger(__name__)

FIRST_UID, UIDS = 0x7000_0000, 0x0FF0_0000
"""uids that neither users, services nor containers are given (systemd: UIDS-GIDS)."""
NOBODY = 65534


@dataclass(frozen=True, slots=True)
class User:
    """Whom a verifier runs as."""

    uid: int
    is_own: bool
    """Nothing else of this machine runs under it."""


def choose_user(name: str | None) -> User | None:
    """Return the user of a verifier; None for the one of this process.

    Args:
        name: A user's name or uid; None for a uid of its own, or nobody's where there are not so many.

    Raises:
        VerifierFailed: There is no such user.
    """
    if os.getuid() != 0:
        return None
    if name is None:
        own = FIRST_UID + secrets.randbelow(UIDS)
        if _is_mapped(own):
            return User(own, is_own=True)
        return User(NOBODY, is_own=False) if _is_mapped(NOBODY) else None
    try:
        uid = int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        raise VerifierFailed(
            f"there is no user {name!r} for verifiers on this worker: set --verifier-user"
        ) from None
    return User(uid, is_own=False) if uid else None


def _is_mapped(uid: int) -> bool:
    """Whether this process's user namespace has the uid: a container's may have few."""
    try:
        ranges = [line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()]
    except OSError:
        return uid == NOBODY
    return any(int(first) <= uid < int(first) + int(count) for first, _, count in ranges)


def module_folders() -> list[Path]:
    """Return the folders of ``PYTHONPATH``, absolute: a verifier starts elsewhere."""
    return [Path(part).absolute() for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]


class VerifierFolder:
    """Made on enter, gone with all it holds on exit.

    ``home`` is the verifier's to write; ``inbox`` holds what it asked of the sandbox, for it to read; ``outbox`` holds
    what it hands in, out of its reach.

    Where a user other than root can neither be let through closed folders nor be kept from the rest by Landlock, the
    verifier sees copies of the episode's and the environment's files.

    Args:
        request: What is judged.
    """

    def __init__(self, request: VerifierRequest) -> None:
        self._request = request
        self.user = choose_user(request.limits.user)
        self._sees_copies = self.user is not None and not (can_read_all() and landlock_version())
        self._moved: dict[str, str] = {}
        self._count = 0

    def __enter__(self) -> VerifierFolder:
        place = None if self._sees_copies else self._request.episode_dir.parent
        self.path = Path(tempfile.mkdtemp(prefix="gym-queue-verifier-", dir=place))
        try:
            self.home, self._inbox, self._outbox = (self.path / name for name in ("home", "inbox", "outbox"))
            for folder in (self.home, self._inbox, self._outbox):
                folder.mkdir(mode=0o700)
            if self._sees_copies:
                self._copy_what_is_closed()
            if self.user is not None:
                os.chown(self.home, self.user.uid, self.user.uid)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder, whatever rights its files have and however deep it goes."""
        try:
            _open_folders(self.path)
            shutil.rmtree(self.path)
        except (OSError, RecursionError):
            subprocess.run(["rm", "-rf", self.path], check=False, capture_output=True)
        if self.path.exists():
            logger.warning("the verifier's folder %s cannot be removed", self.path)

    def plan(self) -> dict[str, Any]:
        """Return what the keeper is told: whom to run, and what it may reach."""
        limits, user = self._request.limits, self.user
        if user is not None and self._sees_copies and not _is_open(Path(sys.executable).resolve(), user.uid):
            logger.warning(
                "verifiers run as root: %s is closed to other users, and this system has no Landlock or withholds "
                "CAP_DAC_READ_SEARCH; install Python in /usr or /opt",
                sys.base_prefix,
            )
            user = None
        return {
            "parent": os.getpid(),
            "folder": str(self.home),
            "remove": str(self.path),
            "user": user.uid if user else None,
            "own_uid": user.uid if user and user.is_own else None,
            "reads_all": user is not None and not self._sees_copies,
            "read": [str(path) for path in self._readable()],
            "write": [str(self.home)],
            "cpu_s": limits.cpu_s,
            "memory_bytes": limits.memory_bytes,
            "file_bytes": limits.file_bytes,
            "processes": limits.processes,
        }

    def _readable(self) -> list[Path]:
        request = self._request
        python = [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve()]
        added = [path for path in module_folders() if not Path.home().is_relative_to(path)]
        folders = [request.episode_dir, request.env_dir, request.task_dir]
        return [*python, *added, *(folder for folder in folders if folder), *map(Path, self._moved.values()),
                self._inbox, Path(__file__).parent]  # fmt: skip

    def seen(self, value: Any) -> Any:
        """Return a text, list or dict with the paths of copied files as the verifier sees them."""
        if not self._moved:
            return value
        if isinstance(value, str):
            for old, new in self._moved.items():
                if value == old or value.startswith(old + os.sep):
                    return new + value[len(old) :]
        if isinstance(value, dict):
            return {key: self.seen(each) for key, each in value.items()}
        return [self.seen(each) for each in value] if isinstance(value, list) else value

    def show(self, path: str) -> None:
        """Copy a file that is newer than the copies the verifier sees, where it sees copies."""
        if (seen := self.seen(path)) != path:
            shutil.copyfile(path, seen)
            _open_to_all(Path(seen))

    def receive(self, source: str) -> Path:
        """Copy a path of the sandbox into the inbox.

        Raises:
            GymQueueError: The runner's.
        """
        self._count += 1
        target = self._inbox / f"{self._count}"
        self._request.runner.copy_from(source, target)
        if self._sees_copies:
            _open_to_all(target)
        return target

    def forget(self) -> None:
        """Drop what was received last."""
        _remove(self._inbox / f"{self._count}")

    def hand_in(self, source: str, target: str) -> None:
        """Copy a path below the verifier's home into the sandbox; no link leads this process elsewhere.

        Raises:
            Forbidden: It is not below the home, or a part of its path is a link.
            PathNotFound: It is not there.
            TooLarge: It holds more than one file may.
            GymQueueError: The runner's.
        """
        relative = Path(os.path.relpath(source, self.home))
        held = self._outbox / (relative.name or "x")
        try:
            copy_out(self.home, relative, held, limit_bytes=self._request.limits.file_bytes)
            self._request.runner.copy_to(held, target)
        finally:
            _remove(held)

    def _copy_what_is_closed(self) -> None:
        assert self.user is not None  # noqa: S101  only another user needs copies
        request = self._request
        os.chown(self.path, -1, self.user.uid)
        self.path.chmod(0o750)
        self._inbox.chmod(0o755)
        for name, folder in (("episode", request.episode_dir), ("env", request.env_dir or request.task_dir)):
            if folder is not None and not _is_open(folder, self.user.uid):
                shutil.copytree(folder, self.path / name, symlinks=True)
                _open_to_all(self.path / name)
                self._moved[str(folder)] = str(self.path / name)


def _open_folders(root: Path) -> None:
    todo = [root]
    while todo:
        folder = todo.pop()
        with suppress(OSError):  # deeper than a path may be long
            folder.chmod(stat.S_IRWXU)
            with os.scandir(folder) as entries:
                todo += [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]


def _is_open(path: Path, uid: int) -> bool:
    """Whether a user that owns nothing here and is in no group reaches a path."""
    parts = [path, *path.parents]
    return all(each.stat().st_mode & stat.S_IXOTH or each.stat().st_uid == uid for each in parts)


def _open_to_all(root: Path) -> None:
    """Let others read a tree of ours; the folder above it says who comes near."""
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644 | stat.S_IMODE(path.stat().st_mode) & 0o111)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
