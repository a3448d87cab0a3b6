"""A verifier's process: started under its keeper, its output drained, ended with all that it started."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from gym_queue.runners.processes import ENV_MARK, kill_session
from gym_queue.verifiers.folder import module_folders

logger = logging.getLogger(__name__)

KEEPER = str(Path(__file__).with_name("keeper.py"))
END_TIMEOUT_S = 5.0
CHUNK_BYTES = 64 << 10
LOG_CHUNKS = 16
"""How many of the last chunks of output are kept: 1 MiB at most."""
TAIL_CHARS = 2000


class VerifierProcess:
    """The keeper and the verifier below it.

    Args:
        channel: The verifier's end of the conversation; closed here.
        plan: What the keeper is told.
        env_id: Marks the processes, so that closing the environment ends them.
    """

    def __init__(self, channel: socket.socket, plan: dict[str, Any], env_id: str) -> None:
        keep = ("PATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONHOME")
        variables = {name: os.environ[name] for name in keep if name in os.environ}
        if folders := module_folders():
            variables["PYTHONPATH"] = os.pathsep.join(map(str, folders))
        own = {
            "HOME": plan["folder"],
            "TMPDIR": plan["folder"],
            "PYTHONDONTWRITEBYTECODE": "1",
            ENV_MARK: env_id,
        }
        with channel:
            self._popen = subprocess.Popen(
                [sys.executable, "-P", KEEPER, json.dumps({**plan, "fd": channel.fileno()})],
                pass_fds=[channel.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=variables | own,
                cwd="/",
                start_new_session=True,
            )
        assert self._popen.stdout is not None  # noqa: S101  a pipe was asked for
        self._kept: deque[bytes] = deque(maxlen=LOG_CHUNKS)
        self._drain = threading.Thread(target=self._read, args=[self._popen.stdout], daemon=True)
        self._drain.start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            while chunk := os.read(pipe.fileno(), CHUNK_BYTES):
                self._kept.append(chunk)

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status, negative for a signal; None when it does not end in time."""
        try:
            return self._popen.wait(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self) -> None:
        """Have everything killed that the verifier left, and return when it is."""
        self._popen.terminate()
        if self.wait(END_TIMEOUT_S) is None:
            logger.warning("a verifier's processes did not end in %g s", END_TIMEOUT_S)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        if sys.platform != "linux":
            kill_session(self._popen.pid)
        self._popen.wait()
        self._drain.join(END_TIMEOUT_S)

    def output(self) -> bytes:
        """Return the last of what it printed; all of it once ``end`` was called."""
        return b"".join(self._kept)

    def tail(self) -> str:
        """Return the last lines it printed, for an error."""
        return self.output()[-TAIL_CHARS:].decode(errors="replace").strip()
