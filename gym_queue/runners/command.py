"""Runs a program with a deadline that holds, whatever the program and its children do."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

_REAP_S = 0.5  # after SIGKILL; a process the kernel does not let go of is left behind


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended."""

    exit_status: int | None
    """As ``subprocess`` counts: -n for signal n; None when the deadline passed."""
    output: str
    """Standard output, then standard error; what there was by the deadline."""


def run(argv: Sequence[str], *, timeout_s: float) -> Ended:
    """Run a program without input; at the deadline kill it and its children.

    Args:
        argv: The program, found on PATH, and its arguments.
        timeout_s: Seconds it may take.

    Raises:
        OSError: It cannot be started.
    """
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,  # so that killing it kills its children, who hold the pipes too
    )
    try:
        output = "".join(process.communicate(timeout=timeout_s))
    except subprocess.TimeoutExpired:
        return Ended(None, _kill(process))
    return Ended(process.returncode, output)


def _kill(process: subprocess.Popen[str]) -> str:
    with suppress(OSError):  # it may have ended just now
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return "".join(process.communicate(timeout=_REAP_S))
    except subprocess.TimeoutExpired:
        return ""
