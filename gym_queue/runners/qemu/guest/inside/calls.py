"""What the host can ask for."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

from .files import packer, reported, unpacker
from .programs import Account, Children, NoAccount, Output
from .shells import Command, Shells
from .streams import Stream

F_SETPIPE_SZ = 1031
PIPE_BYTES = 262144
SHOWN_BYTES = 65536
"""What is sent of the output of a program that runs on."""


class Calls:
    """Carries out calls.

    Args:
        selector: Of the whole program.
        children: Starts and reaps.
        folder: For files of its own.
    """

    def __init__(self, selector: selectors.BaseSelector, children: Children, folder: str) -> None:
        self._selector, self._children = selector, children
        self._shells = Shells(selector, children, folder)
        self._user, self._home = "root", ""
        self._started: dict[int, Command] = {}
        self._calls: dict[str, Callable[[Stream, dict[str, Any]], None]] = {
            "setup": self._set_up,
            "exec": self._exec,
            "start": self._start,
            "output": self._say_output,
            "connect": self._connect,
            "copy_in": self._copy_in,
            "copy_out": self._copy_out,
            "time": self._set_time,
        }

    def open(self, stream: Stream, asked: bytes) -> None:
        """Begin a call."""
        with _refusing(stream):
            facts = json.loads(asked.decode())
            self._calls[facts["call"]](stream, facts)

    def forget(self) -> None:
        """Nobody will ask for the output of what was started until now."""
        for command in self._started.values():
            command.output.drop()
        self._started.clear()

    def _set_up(self, stream: Stream, asked: dict[str, Any]) -> None:
        variables = dict(asked["variables"])
        home = variables.pop("HOME", "")
        account = Account(asked["user"], home)
        self._user, self._home = asked["user"], home
        self._shells.set_up(variables, account)
        stream.end(uid=account.uid, gid=account.gid, home=account.home)

    def _account(self, user: str | None = None) -> Account:
        return Account(self._user, self._home) if user is None else Account(user)

    def _exec(self, stream: Stream, asked: dict[str, Any]) -> None:
        stream.kill = stream.end

        def begin(text: bytes) -> None:
            with _refusing(stream):
                command = self._shells.run(text, self._account(asked.get("user")), ended)
                commands.append(command)
                stream.kill = lambda: self._shells.kill(command)

        def ended(status: int | None) -> None:
            output = commands[0].output.take_all()
            stream.end(output, status=status, dropped=commands[0].output.dropped)
            commands[0].output.drop()

        commands: list[Command] = []
        stream.collect(begin)

    def _start(self, stream: Stream, _: dict[str, Any]) -> None:
        def begin(text: bytes) -> None:
            with _refusing(stream):
                self._started[stream.number] = self._shells.start(text, self._account(), ended)
                stream.say_ready()

        def ended(status: int | None) -> None:
            stream.end(status=status)

        stream.collect(begin)

    def _say_output(self, stream: Stream, asked: dict[str, Any]) -> None:
        command = self._started.get(asked["of"])
        stream.end(command.output.take_all()[-SHOWN_BYTES:] if command else b"")

    def _connect(self, stream: Stream, asked: dict[str, Any]) -> None:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(0)
            connection.connect(os.fsencode(asked["path"]))
        except BaseException:
            connection.close()
            raise
        stream.kill = stream.end
        stream.feed_to(os.dup(connection.fileno()))
        stream.say_ready()
        stream.drain(connection.detach(), stream.end)

    def _copy_in(self, stream: Stream, asked: dict[str, Any]) -> None:
        unpack = unpacker(asked["path"], self._account(), asked["name"])
        reader, writer = _large_pipe()
        copy = self._copy(stream, reported(unpack), {0: reader})
        os.close(reader)
        copy.is_drained = True
        stream.feed_to(writer)

    def _copy_out(self, stream: Stream, asked: dict[str, Any]) -> None:
        reader, writer = _large_pipe()
        copy = self._copy(stream, reported(packer(asked["path"])), {1: writer})
        os.close(writer)
        stream.drain(reader, copy.drained)

    def _copy(self, stream: Stream, work: Callable[[], None], fds: dict[int, int]) -> _Copy:
        reader, writer = os.pipe()
        pid = self._children.fork(work, {**fds, 2: writer})
        os.close(writer)
        copy = _Copy(stream, Output(self._selector, reader))
        self._children.on_exit[pid] = copy.exited

        def kill() -> None:
            if copy.status is None:
                os.kill(pid, signal.SIGKILL)
            stream.abandon()
            copy.drained()

        stream.kill = kill
        return copy

    def _set_time(self, stream: Stream, asked: dict[str, Any]) -> None:
        time.clock_settime(time.CLOCK_REALTIME, asked["unix_s"])
        stream.end()


class _Copy:
    """A process that copies: over when it has ended and all it wrote is sent."""

    def __init__(self, stream: Stream, report: Output) -> None:
        self._stream, self._report = stream, report
        self.status: int | None = None
        self.is_drained = False

    def exited(self, status: int) -> None:
        self.status = status
        self._end()

    def drained(self) -> None:
        self.is_drained = True
        self._end()

    def _end(self) -> None:
        if self._stream.is_over:
            self._report.close()
        elif self.status is not None and self.is_drained:
            self._stream.end(status=self.status, report=self._report.take_all().decode(errors="replace"))
            self._report.close()


@contextlib.contextmanager
def _refusing(stream: Stream) -> Iterator[None]:
    """Answer a call that cannot be carried out."""
    try:
        yield
    except NoAccount as error:
        stream.end(error="no_account", text=str(error))
    except OSError as error:
        kind = "not_found" if isinstance(error, FileNotFoundError) else "failed"
        stream.end(error=kind, text=error.strerror or str(error))
    except (ValueError, LookupError, TypeError) as error:
        stream.end(error="invalid", text=f"no call of this helper: {error!r}")


def _large_pipe() -> tuple[int, int]:
    reader, writer = os.pipe()
    with contextlib.suppress(OSError):
        fcntl.fcntl(writer, F_SETPIPE_SZ, PIPE_BYTES)
    return reader, writer
