"""What can be wrong with env folders, as checking them tells it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gym_queue.errors import GymQueueError, SpecNotFound


class Kind(StrEnum):
    """What a problem is about."""

    UNREADABLE = "unreadable"
    """A file cannot be opened, or is neither JSON nor YAML."""
    SPEC = "spec"
    """A file does not follow the format, or names an unknown preset."""
    MOUNT = "mount"
    """The source of a mount does not exist."""
    HOOK = "hook"
    """A hook names a script that does not exist."""
    VERIFIER = "verifier"
    """The verifier is not there, is not Python, or lacks its function."""
    SPLIT = "split"
    """A split names a task or an environment that does not exist."""
    IMPORT = "import"
    """The verifier imports what this machine lacks; another may have it."""
    ID = "id"
    """An id is not its folder's, or another's too; folders are what tasks are found by."""


WARNINGS = frozenset({Kind.IMPORT, Kind.ID})
"""Kinds that leave an episode possible, here or on another machine."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an env folder."""

    kind: Kind
    """What it is about."""
    path: Path
    """The file it is in."""
    message: str
    """What is wrong, without the path; on one line, and printable."""
    env: str = ""
    """Name of the env folder; empty for a file of the corpus."""
    task: str = ""
    """Name of the task's folder; empty for the environment's own."""
    line: int | None = None
    """Line in the file, from 1."""
    column: int | None = None
    """Column in the line, from 1."""

    @property
    def is_warning(self) -> bool:
        """Whether an episode is possible all the same."""
        return self.kind in WARNINGS

    @property
    def place(self) -> str:
        """``file``, ``file:line`` or ``file:line:column``, as compilers write it."""
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is being checked: where the problems found there belong."""

    path: Path
    """The file."""
    env: str = ""
    """Name of the env folder."""
    task: str = ""
    """Name of the task's folder."""

    def problem(
        self,
        kind: Kind,
        message: str,
        *,
        path: Path | None = None,
        line: int | None = None,
        column: int | None = None,
    ) -> Problem:
        """Return a problem of this subject.

        Args:
            kind: What it is about.
            message: What is wrong.
            path: The file it is in, where that is another than the subject's.
            line: Line in the file, from 1.
            column: Column in the line, from 1.
        """
        return Problem(kind, path or self.path, printable(message), self.env, self.task, line, column)

    def from_error(self, error: GymQueueError) -> Problem:
        """Return what a loader's error tells of this subject."""
        line, column = error.details.get("line"), error.details.get("column")
        place = ":".join(str(part) for part in (self.path, line, column) if part is not None)
        message = error.message.removeprefix(f"{place}:").strip()
        unread = line is not None or isinstance(error, SpecNotFound)
        return self.problem(Kind.UNREADABLE if unread else Kind.SPEC, message, line=line, column=column)


def printable(text: str) -> str:
    """Return a text as one line that any terminal shows as it is: no line ends, escapes or lone surrogates."""
    flat = " ".join(text.split())
    if flat.isprintable():
        return flat
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in flat)
