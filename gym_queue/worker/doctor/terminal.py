"""Probe of the local runner's need: a terminal with bash on it."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import subprocess
import time

from gym_queue.worker.doctor.host import Platform
from gym_queue.worker.doctor.report import Finding

ANSWER_S = 2.0
_SCRIPT = 'test -t 0 && read -r word && printf "answer:%s" "$word"'
_ANSWER = b"answer:ping"


def terminal(here: Platform, timeout_s: float) -> Finding:
    """Open a pty, run bash on it, type a line, and wait for bash's answer to it."""
    limit_s = min(ANSWER_S, timeout_s)
    bash = here.install(apt="bash", dnf="bash", brew="bash", otherwise="install bash")
    try:
        screen, typed = _ask_bash(limit_s)
    except FileNotFoundError:
        return Finding(ok=False, reason="bash is not installed", remedy=bash)
    except OSError as error:
        remedy = "mount devpts on /dev/pts, and raise kernel.pty.max when ptys ran out"
        return Finding(ok=False, reason=f"no pty opens: {error.strerror}", remedy=remedy)
    if not typed:
        reason = f"bash on a pty did not answer in {limit_s:g} s: {screen[-80:].decode(errors='replace')!r}"
        return Finding(ok=False, reason=reason, remedy="run `bash --version` by hand, then mend bash")
    return Finding(ok=True, reason="bash answers on a pty")


def _ask_bash(limit_s: float) -> tuple[bytes, bool]:
    master, slave = pty.openpty()
    try:
        bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", _SCRIPT],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
    except OSError:
        os.close(master)
        raise
    finally:
        os.close(slave)
    try:
        os.write(master, b"ping\n")
        screen = _read_until(master, _ANSWER, limit_s)
    finally:
        bash.kill()
        os.close(master)
        with contextlib.suppress(subprocess.TimeoutExpired):
            bash.wait(timeout=limit_s)
    return screen, _ANSWER in screen


def _read_until(fd: int, wanted: bytes, limit_s: float) -> bytes:
    """Return what came up to ``wanted``, the end, or the limit."""
    seen = b""
    end = time.monotonic() + limit_s
    while wanted not in seen:
        readable, _, _ = select.select([fd], [], [], max(0.0, end - time.monotonic()))
        if not readable:
            break
        try:
            chunk = os.read(fd, 4096)
        except OSError:  # EIO: bash is gone, and nothing else is left to read
            break
        if not chunk:
            break
        seen += chunk
    return seen
