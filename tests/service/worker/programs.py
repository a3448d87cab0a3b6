"""A worker in a process of its own, with a temporary folder of its own, so that what it leaves can be seen."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

import httpx
import psutil

TIMEOUT_S = 30.0
ALONE = {"host": "127.0.0.1", "runners": "fake", "skip_preflight": True, "grace_s": 0.1, "no_auth": True}


class WorkerProgram:
    """Starts on enter; killed on exit when it still runs."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.log = folder.with_name(folder.name + ".log")
        self._settings = {**ALONE, **settings}
        self.said = ""

    def __enter__(self) -> WorkerProgram:
        self.folder.mkdir()
        command = [sys.executable, "-m", "tests.service.worker.worker_program", json.dumps(self._settings)]
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "TMPDIR": str(self.folder)},
                text=True,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self.popen.stdout is not None
        self.popen.kill()
        self.popen.stdout.close()
        self.popen.wait(TIMEOUT_S)

    def wait_ready(self) -> httpx.Client:
        """Return a client of the worker once it serves."""
        return httpx.Client(base_url=self.read_line(), timeout=TIMEOUT_S, trust_env=False)

    def read_line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def processes(self) -> list[psutil.Process]:
        """Return all of its descendants: to be asked while it lives."""
        return psutil.Process(self.popen.pid).children(recursive=True)

    def terminate(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(TIMEOUT_S)

    def left(self) -> list[str]:
        """Return what it left in the temporary folder."""
        return [path.name for path in self.folder.iterdir()]

    def log_text(self) -> str:
        return self.log.read_text()
