"""Ways into a guest that has none of our own programs inside: the agent, SSH or adb carry scripts for its shell."""

from __future__ import annotations

from typing import IO, Protocol

from gym_queue.runners.base import ExecResult

CALL_TIMEOUT_S = 60.0
"""Most that a script of our own may take that only looks or makes a folder; the guest may be emulated and busy."""
COPY_TIMEOUT_S = 900.0
"""Most that one file or folder may take on its way."""


class Carrier(Protocol):
    """Runs scripts in a guest with a POSIX shell. Calls may come from several threads."""

    def run(
        self,
        script: str,
        *,
        timeout_s: float,
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
    ) -> ExecResult:
        """Run a script with ``sh``, as the account that the carrier works as.

        Args:
            script: Its standard output is closed once it ends: nothing that it leaves behind holds that.
            timeout_s: Seconds it may take.
            stdin: What it reads, a file of this host; None is nothing.
            stdout: Where what it writes goes, byte by byte; the result then holds its errors alone.

        Raises:
            EnvTimeout: It took longer; it may still run.
            RunnerFailed: The guest is gone, does not answer, or this was closed.
        """

    def close(self) -> None:
        """Let go: running and coming calls fail. Safe to call twice, and from any thread."""
