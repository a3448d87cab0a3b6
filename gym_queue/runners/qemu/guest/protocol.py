"""What a guest can be asked, whatever lies inside: Linux with our helper, Windows, Android, or a machine behind SSH."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gym_queue.errors import RunnerFailed
from gym_queue.runners.base import ExecResult


@dataclass(frozen=True, slots=True)
class GuestSetup:
    """How commands run inside, and what copies may take."""

    user: str
    """A name, or ``uid:gid``: whom commands run as, and who owns what is copied in."""
    variables: Mapping[str, str]
    """Of every command."""
    scratch: Path
    """A folder of the host for what is on its way."""
    copy_bytes: int | None
    """Most that one copy may take; None is no limit."""
    explain_end: Callable[[], RunnerFailed | None]
    """Returns why the machine is gone, or None while it runs."""


class Started(Protocol):
    """A program that runs on."""

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs, or when that was never learned."""

    @property
    def output(self) -> str:
        """The last of what it and its children wrote."""


class Guest(Protocol):
    """The system in a machine. Calls may come from several threads.

    Every method raises RunnerFailed when the machine is gone, its end of the channel is, or this was closed.
    """

    def exec(self, command: str, *, timeout_s: float, user: str | None = None) -> ExecResult:
        """Run a command in a login shell, to its end.

        Args:
            command: For the shell.
            timeout_s: Seconds it may take.
            user: Whom to run as; None is the setup's.

        Raises:
            EnvTimeout: It took longer; it and its children were killed.
        """

    def start(self, command: str, name: str) -> Started:
        """Start a command that goes on for as long as it likes.

        Args:
            command: For a login shell.
            name: What to call it in logs.
        """

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, of the host to a path inside.

        A file goes into ``target`` when that is a folder; a folder is merged into ``target``.

        Raises:
            PathNotFound: ``source`` does not exist.
            RequestInvalid: ``target`` cannot be written.
            TooLarge: It is more than one copy may take.
        """

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, from inside to a path of the host.

        Raises:
            PathNotFound: ``source`` does not exist inside.
            Forbidden: It is or holds a device, or a link that leads out of it.
            TooLarge: It is more than one copy may take.
        """

    def set_time(self, unix_s: float) -> None:
        """Set the guest's clock."""

    def close(self) -> None:
        """Let go: running and coming calls fail. Safe to call twice, and from any thread."""
