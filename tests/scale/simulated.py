"""Running the simulated workers beside what is tested or measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STOP_TIMEOUT_S = 30.0


class Simulated:
    """The program of tests/scale/load.py, once all its workers have registered.

    Args:
        process: It.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def stop(self) -> dict[str, Any]:
        """End it, and return what became of the heartbeats."""
        found: dict[str, Any] = json.loads(self._process.communicate(input="", timeout=STOP_TIMEOUT_S)[0])
        return found


@contextmanager
def simulated_workers(url: str, token: str) -> Iterator[Simulated]:
    """Run a thousand workers that register and send heartbeats, until the block ends or they are stopped.

    Raises:
        RuntimeError: They did not start; their own words are on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.scale.load", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"GYM_ANYTHING_TOKEN": token, "PYTHONPATH": ":".join(sys.path)},
    )
    try:
        if process.stdout is None or process.stdout.readline() != "ready\n":
            raise RuntimeError("the simulated workers did not start")
        yield Simulated(process)
    finally:
        process.kill()
        process.communicate()
