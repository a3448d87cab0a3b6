"""A shell that waits inside a container, and the commands it is given: each a login bash forked from it.

A ``docker exec`` takes 70 ms here, a command of a shell that waits already 8. The shell writes how a command ended
behind its output, on the same stream: nothing is lost, and nothing is waited for.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time

from gym_queue.errors import RunnerFailed
from gym_queue.runners.docker.frames import STDOUT, ExecStream
from gym_queue.runners.tail import MAX_OUTPUT_BYTES, Tail

logger = logging.getLogger(__name__)

SEND_TIMEOUT_S = 30.0
READ_S = 3600.0
REUSE_WAIT_S = 0.05
"""How long a shell gets to say that nothing of its last command holds the output any more."""
EXEC_MARK = "GYM_EXEC_ID"
"""The variable that every process of one command inherits."""

WAITING_SHELL = f"""\
cd ~ 2>/dev/null || cd /
unset OLDPWD
session=$(command -v setsid)
while IFS= read -r -d '' mark && IFS= read -r -d '' id && IFS= read -r -d '' command; do
  exec {{out}}> >(exec cat)
  drain=$!
  {EXEC_MARK}=$id $session bash -lc "$command" </dev/null >&"$out" 2>&1 {{out}}>&- &
  leader=$!
  printf '%s leader %s\\n' "$mark" "$leader" >&"$out"
  wait "$leader"
  printf '%s status %s\\n' "$mark" "$?" >&"$out"
  exec {{out}}>&-
  wait "$drain"
  printf '%s free -\\n' "$mark"
done
"""
"""Reads mark, id and command, each ended by NUL. ``cat`` lives as long as a child that holds the output does."""


class Shell:
    """The host's end of one waiting shell. Used by one thread at a time; ``close`` by any.

    Args:
        stream: Of a bash that runs WAITING_SHELL.
    """

    def __init__(self, stream: ExecStream) -> None:
        self._stream = stream
        self._last: Running | None = None

    def give(self, command: str) -> Running:
        """Let the shell run a command.

        Raises:
            EOFError: The shell is gone.
        """
        if "\0" in command:
            raise RunnerFailed("a command holds a NUL, which no shell can be given")
        running = self._last = Running(self._stream)
        fields = (running.mark, running.id, command)
        try:
            data = b"".join(field.encode("utf-8", "surrogateescape") + b"\0" for field in fields)
            self._stream.send(data, timeout_s=SEND_TIMEOUT_S)
        except OSError as error:
            raise EOFError from error
        return running

    def is_free(self) -> bool:
        """Whether nothing of the last command can write into the next one's output."""
        if self._last is None:
            return True
        deadline = time.monotonic() + REUSE_WAIT_S
        try:
            while not self._last.is_over and time.monotonic() < deadline:
                self._last.read(REUSE_WAIT_S)
        except EOFError:
            return False
        return self._last.is_over

    def close(self) -> None:
        """Hang up: the shell ends once nothing of its last command holds the output."""
        self._stream.close()


class Running:
    """A command that a shell was given: finds in the stream where its output ends."""

    def __init__(self, stream: ExecStream) -> None:
        self.mark = secrets.token_hex(16)
        self.id = secrets.token_hex(8)
        self.output = Tail(MAX_OUTPUT_BYTES)
        self.status: int | None = None
        self.leader: int | None = None
        """Its first process, as the container counts them."""
        self.is_over = False
        self._stream = stream
        self._held = bytearray()

    def read(self, timeout_s: float) -> None:
        """Take what comes next, if anything comes in time; raises EOFError at the end of the stream."""
        piece = self._stream.receive(timeout_s)
        if piece is None or piece[0] != STDOUT:  # the shell's own remarks: "Killed", ..
            return
        self._held += piece[1]
        self._scan()

    def _scan(self) -> None:
        mark = self.mark.encode()
        while (start := self._held.find(mark)) >= 0 and (end := self._held.find(b"\n", start)) >= 0:
            word, value = self._held[start + len(mark) : end].decode().split()
            self.output.add(bytes(self._held[:start]))
            del self._held[: end + 1]
            if word == "leader":
                self.leader = int(value)
            elif word == "status":
                self.status = int(value)
            self.is_over = word == "free"
        if start < 0:
            end = len(self._held) - _overlap(self._held, mark)
            self.output.add(bytes(self._held[:end]))
            del self._held[:end]


class Background:
    """A command that runs on: its status once it ended, and the end of its output."""

    def __init__(self, running: Running, name: str) -> None:
        self._running, self._name = running, name
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._drain, name=name, daemon=True)
        self._thread.start()

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs, or when the container went first."""
        return self._running.status

    @property
    def output(self) -> str:
        """The last of what it and its children wrote."""
        return self._running.output.text()

    def wait(self, timeout_s: float) -> None:
        """Wait until it, or its container, has ended, or the time is over."""
        self._ended.wait(timeout_s)

    def _drain(self) -> None:
        try:
            while self._running.status is None:
                self._running.read(READ_S)
            self._ended.set()
            if self._running.status != 0:
                logger.warning("the %s ended with status %s: %s", self._name, self.status, self.output[-500:])
            while True:  # its children may write on
                self._running.read(READ_S)
        except EOFError:
            self._ended.set()  # its container, or the environment, is at its end


def _overlap(data: bytearray, mark: bytes) -> int:
    """Return how many of the last bytes may be the beginning of the mark, the rest of which has not come."""
    return next((size for size in range(len(mark) - 1, 0, -1) if data.endswith(mark[:size])), 0)
