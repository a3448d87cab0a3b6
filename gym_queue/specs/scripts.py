"""Judging hooks from outside: do the scripts that they name exist?"""

from __future__ import annotations

import os
import posixpath
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gym_queue.specs.env import Mount

_QUOTING = re.compile(r"['\"]")
_EXPANDED = re.compile(r"[$`*?\[{~]")
"""Marks of a word that the shell inside makes a path of."""
_SUFFIXES = (".sh", ".bash", ".py", ".ps1", ".bat", ".cmd")


@dataclass(frozen=True, slots=True)
class Scripts:
    """Where the scripts that hooks name lie on this machine, as far as it can be told."""

    mounted: tuple[tuple[str, Path], ...]
    """Folders inside that nothing writes to, ``/`` at the end, and the host's folders they show; the deepest first."""

    @classmethod
    def of(cls, mounts: Iterable[tuple[Mount, Path]]) -> Scripts:
        """Take the read-only ones of an environment's mounts, each with the path that it shows."""
        mounted = [(f"{posixpath.normpath(m.target)}/", path) for m, path in mounts if m.mode == "ro"]
        return cls(tuple(sorted(mounted, key=lambda pair: pair[0].count("/"), reverse=True)))

    def missing(self, key: str, commands: Iterable[str], roots: tuple[Path, ...]) -> Iterator[str]:
        """Yield a fault for each script that the commands name and that certainly does not exist.

        Args:
            key: Where the commands stand in their file.
            commands: What the sandbox's shell is to run.
            roots: Folders that a relative script may lie in.
        """
        for command in commands:
            for script in self._named(command):
                if not self._may_exist(script, roots):
                    yield f"{key}: {script} does not exist"

    def _named(self, command: str) -> Iterator[str]:
        """Yield the script that a command starts with, and every absolute one among its words."""
        if "\\" in command:
            return  # a Windows path, or quoting that only its shell can read
        try:
            words = shlex.split(command) if _QUOTING.search(command) else command.split()  # shlex is slow
        except ValueError:
            return
        for index, word in enumerate(words):
            named = word.endswith(_SUFFIXES) and (word.startswith("/") or index == 0)
            if named and not _EXPANDED.search(word):
                yield posixpath.normpath(word)

    def _may_exist(self, script: str, roots: tuple[Path, ...]) -> bool:
        if not script.startswith("/"):
            return any(_exists(f"{root}/{script}") for root in roots)
        for target, source in self.mounted:
            if f"{script}/".startswith(target):
                return _exists(f"{source}/{script[len(target) :]}".rstrip("/"))
        return True


def _exists(path: str) -> bool:
    return os.path.exists(path)  # noqa: PTH110  (Path.exists raises on a name too long for the disk)
