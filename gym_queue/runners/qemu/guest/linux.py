"""A Linux guest with our helper inside: commands, files and sockets over one virtio-serial port."""

from __future__ import annotations

import logging
import socket
import time
from pathlib import Path
from typing import Any

from gym_queue.errors import EnvTimeout, PathNotFound, RunnerFailed
from gym_queue.runners.base import ExecResult
from gym_queue.runners.qemu.guest.bridge import bridge
from gym_queue.runners.qemu.guest.channel import Channel
from gym_queue.runners.qemu.guest.files import GuestFiles
from gym_queue.runners.qemu.guest.install import helper_digest
from gym_queue.runners.qemu.guest.protocol import GuestSetup
from gym_queue.runners.qemu.guest.stream import Stream
from gym_queue.runners.tail import Tail

logger = logging.getLogger(__name__)

CALL_TIMEOUT_S = 60.0
"""Most that a call of our own may take; the guest may be emulated and busy."""
KILL_TIMEOUT_S = 30.0


class UserRefused(RunnerFailed):
    """The helper answered, and cannot run commands as it was asked to."""


class LinuxGuest:
    """The guest, from the moment that its helper answers. Calls may come from several threads.

    Args:
        path: The unix socket that QEMU gives the helper's port: one connection at a time.
        setup: How commands run; they begin in fresh shells.
        deadline_s: Seconds until the helper must have answered.

    Raises:
        RunnerFailed: It did not.
        UserRefused: The guest does not know the user.
    """

    def __init__(self, path: Path, setup: GuestSetup, *, deadline_s: float) -> None:
        self._setup = setup
        self._channel = Channel(
            path, explain_end=setup.explain_end, digest=helper_digest(), deadline_s=deadline_s
        )
        try:
            uid, gid, home = self._set_up()
        except BaseException:
            self._channel.close()
            raise
        self._files = GuestFiles(self._channel, setup, uid=uid, gid=gid, home=home)

    def exec(self, command: str, *, timeout_s: float, user: str | None = None) -> ExecResult:
        """Run a command in a login bash, to its end; as Guest has it."""
        deadline = time.monotonic() + timeout_s
        stream = self._channel.open({"call": "exec", "user": user}, _encoded(command))
        ended = stream.wait_end(deadline)
        if ended is None:
            stream.kill()
            if (ended := stream.wait_end(time.monotonic() + KILL_TIMEOUT_S)) is None:
                logger.warning("a command that ran out of time may still run: %s", command[:200])
            raise EnvTimeout(
                f"the command ran longer than {timeout_s:g} s and was killed: {command[:200]}",
                {"output": _text(stream, ended or {})[-2000:]},
            )
        if "error" in ended:
            raise RunnerFailed(f"the command cannot be run in the guest: {ended.get('text')}")
        if not isinstance(ended.get("status"), int):
            raise RunnerFailed(
                "the shell of a command in the guest ended before the command did: something inside killed it"
            )
        return ExecResult(ended["status"], _text(stream, ended))

    def start(self, command: str, name: str) -> Background:
        """Start a command that goes on, as Guest has it."""
        stream = self._channel.open({"call": "start"}, _encoded(command))
        if not stream.wait_ready(time.monotonic() + CALL_TIMEOUT_S):
            reason = (stream.ended or {}).get("text", "the guest does not answer")
            raise RunnerFailed(f"the {name} cannot be started in the guest: {reason}")
        return Background(self._channel, stream)

    def connect(self, path: str) -> socket.socket:
        """Return a connection to a unix socket inside, the X server's say, as one end of a pair.

        Raises:
            PathNotFound: There is no such socket.
            RunnerFailed: Nobody listens there.
        """
        stream = self._channel.open({"call": "connect", "path": path})
        if not stream.wait_ready(time.monotonic() + CALL_TIMEOUT_S):
            ended = stream.ended or {"text": "the guest does not answer"}
            kind = PathNotFound if ended.get("error") == "not_found" else RunnerFailed
            raise kind(f"the socket {path} in the guest cannot be connected to: {ended.get('text')}")
        return bridge(stream)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy into the guest, as Guest has it."""
        self._files.copy_to(source, target)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy out of the guest, as Guest has it."""
        self._files.copy_from(source, target)

    def set_time(self, unix_s: float) -> None:
        """Set the guest's clock."""
        self._ask({"call": "time", "unix_s": unix_s}, "the guest's clock cannot be set")

    def close(self) -> None:
        """Let go, as Guest has it; what runs inside goes on until the machine ends, or somebody connects anew."""
        self._channel.close()

    def _set_up(self) -> tuple[int, int, str]:
        """Say whom commands run as; returns that account's numbers and home folder."""
        asked = {"call": "setup", "user": self._setup.user, "variables": dict(self._setup.variables)}
        ended = self._channel.open(asked).wait_end(time.monotonic() + CALL_TIMEOUT_S)
        if ended is None:
            raise RunnerFailed("the helper in the guest does not answer: the machine may be overloaded")
        if "error" in ended:
            raise UserRefused(f"the guest cannot run commands as {self._setup.user}: {ended.get('text')}")
        try:
            return int(ended["uid"]), int(ended["gid"]), str(ended["home"])
        except (KeyError, TypeError, ValueError) as error:
            raise RunnerFailed("the helper in the guest does not say whom commands run as") from error

    def _ask(self, asked: dict[str, Any], what: str) -> dict[str, Any]:
        ended = self._channel.open(asked).wait_end(time.monotonic() + CALL_TIMEOUT_S)
        if ended is None or "error" in ended:
            raise RunnerFailed(f"{what}: {(ended or {}).get('text', 'it does not answer')}")
        return ended


class Background:
    """A command that runs on."""

    def __init__(self, channel: Channel, stream: Stream) -> None:
        self._channel, self._stream = channel, stream

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs, or when that was never learned."""
        ended = self._stream.ended
        return None if ended is None else ended.get("status")

    @property
    def output(self) -> str:
        """The last of what it and its children wrote."""
        asked = self._channel.open({"call": "output", "of": self._stream.number})
        asked.wait_end(time.monotonic() + CALL_TIMEOUT_S)
        return asked.take_output().decode(errors="replace")

    def wait(self, timeout_s: float) -> int | None:
        """Wait until it has ended, or the time is over; returns its status.

        Raises:
            RunnerFailed: The machine went first.
        """
        self._stream.wait_end(time.monotonic() + timeout_s)
        return self.status


def _encoded(command: str) -> bytes:
    if "\0" in command:
        raise RunnerFailed("a command holds a NUL, which no shell can be given")
    return command.encode("utf-8", "surrogateescape")


def _text(stream: Stream, ended: dict[str, Any]) -> str:
    dropped = ended.get("dropped", 0)
    return Tail.note(dropped if isinstance(dropped, int) else 0) + stream.take_output().decode(
        errors="replace"
    )
