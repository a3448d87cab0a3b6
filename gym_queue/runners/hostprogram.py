"""A program of this host that runs on beside a sandbox, with its output in a file."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

TAIL_BYTES = 4096


class HostProgram:
    """A process of its own session; what ends it is the sandbox's sweep.

    Args:
        command: Program and arguments.
        folder: Where it starts.
        environment: All its variables.
        log: Where its output goes, in the place of what is there.
    """

    def __init__(
        self, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    @property
    def output(self) -> str:
        """The last of what it wrote."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - TAIL_BYTES))
            return log.read().decode(errors="replace")

    def wait(self, timeout_s: float) -> None:
        """Wait until it has ended.

        Raises:
            subprocess.TimeoutExpired: It has not in time.
        """
        self._process.wait(timeout_s)
