"""A whole cluster in one ``with``: a master and workers as real processes of this machine."""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from gym_queue.errors import StartupFailed

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOG_TAIL_CHARS = 2000
FOLDER_PREFIX = "gym-queue-fleet-"


class Program:
    """One of our programs in a process of its own, which ends when this one does.

    Args:
        module: Run as ``python -m``.
        arguments: Its flags.
        log: File its output goes to; None hands on to ours.
        variables: Over our environment.
    """

    def __init__(
        self, module: str, arguments: Sequence[str], *, log: Path | None, variables: Mapping[str, str]
    ) -> None:
        self.module = module
        self.log = log
        self._ready_r, ready_w = os.pipe()
        lifeline_r, self._lifeline_w = os.pipe()
        output: IO[bytes] | None = log.open("ab") if log else None
        own = {"GYM_QUEUE_READY_FD": str(ready_w), "GYM_QUEUE_LIFELINE_FD": str(lifeline_r)}
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **variables, **own},
                pass_fds=[ready_w, lifeline_r],
                start_new_session=True,  # a terminal's Ctrl-C is ours to handle, in order
            )
        finally:
            os.close(ready_w)
            os.close(lifeline_r)
            if output is not None:
                output.close()

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> str:
        """Return what the program says once it serves: its URL.

        Raises:
            StartupFailed: It ended, or said nothing in time; with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        said = b""
        while not said.endswith(b"\n"):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or not select.select([self._ready_r], [], [], left_s)[0]:
                raise StartupFailed(f"{self.module} did not start within {timeout_s:g} s{self._tail()}")
            part = os.read(self._ready_r, 4096)
            if not part:
                raise StartupFailed(f"{self.module} ended with status {self.process.wait()}{self._tail()}")
            said += part
        return said.decode().strip()

    def terminate(self) -> None:
        """Ask it to end."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for its end, killing it when it takes too long; return its exit status."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            logger.error("%s did not end within %g s and was killed", self.module, timeout_s)
            self.process.kill()
            status = self.process.wait()
        for fd in (self._ready_r, self._lifeline_w):
            with suppress(OSError):
                os.close(fd)
        return status

    def _tail(self) -> str:
        if self.log is None:
            return ": see its log above"
        return (
            f"; its log ends: {self.log.read_text(errors='replace')[-LOG_TAIL_CHARS:].strip() or '(nothing)'}"
        )


@dataclass(frozen=True, slots=True)
class FleetSetup:
    """What a Fleet starts."""

    workers: int = 2
    max_envs: int = 4
    """Slots of each worker."""
    host: str = "127.0.0.1"
    port: int = 0
    """The master's; 0 takes a free one."""
    grace_s: float = 0.0
    """How long environments may finish at the end."""
    state_dir: Path | None = None
    """The embedded broker's; None takes a temporary one."""
    quiet: bool = True
    """Keep the programs' output in files, shown when one fails."""
    master_arguments: Sequence[str] = ()
    worker_arguments: Sequence[str] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables for the programs."""


class Fleet:
    """A master and its workers, started on enter and gone, with all they made, on exit.

    >>> with Fleet(FleetSetup(workers=2)) as fleet:
    ...     env = RemoteGymEnv.from_config(fleet.url, "terminal_env", "largest_file")
    """

    def __init__(self, setup: FleetSetup | None = None) -> None:
        self.setup = setup or FleetSetup()
        self.master: Program | None = None
        self.workers: list[Program] = []
        self.worker_urls: list[str] = []
        self.url = ""
        self._folder = Path()

    def __enter__(self) -> Fleet:
        _remove_stale()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{os.getpid()}-"))
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def add_worker(self, *arguments: str) -> Program:
        """Start one more worker; it is ready after its ``wait_ready``."""
        setup = self.setup
        number = len(self.workers) + 1
        flags = [
            *("--master-url", self.url, "--max-envs", str(setup.max_envs), "--grace", f"{setup.grace_s:g}"),
            *("--worker-id", f"worker-{number}", "--host", setup.host),
            *setup.worker_arguments,
            *arguments,
        ]
        worker = self._program("gym_queue.cli.worker", flags, f"worker-{number}")
        self.workers.append(worker)
        return worker

    def stop(self) -> list[int]:
        """End workers, then master; return their exit statuses, the master's last."""
        for worker in self.workers:
            worker.terminate()
        statuses = [worker.wait(self.setup.grace_s + STOP_TIMEOUT_S) for worker in self.workers]
        self.workers = []
        if self.master is not None:
            self.master.terminate()
            statuses.append(self.master.wait())
            self.master = None
        shutil.rmtree(self._folder, ignore_errors=True)
        return statuses

    def log_text(self) -> str:
        """Return everything the programs have logged; empty unless quiet."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    def _start(self) -> None:
        setup = self.setup
        state_dir = setup.state_dir or self._folder / "state"
        flags = ["--host", setup.host, "--port", str(setup.port), "--state-dir", str(state_dir)]
        self.master = self._program("gym_queue.cli.master", [*flags, *setup.master_arguments], "master")
        self.url = self.master.wait_ready()
        for _ in range(setup.workers):
            self.add_worker()
        self.worker_urls = [worker.wait_ready() for worker in self.workers]

    def _program(self, module: str, arguments: Sequence[str], name: str) -> Program:
        log = self._folder / f"{name}.log" if self.setup.quiet else None
        return Program(module, arguments, log=log, variables=self.setup.variables)


def _remove_stale() -> None:
    """Remove the folders of fleets whose process was killed: nobody else is left to."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and folder.stat().st_uid == os.getuid():
            shutil.rmtree(folder, ignore_errors=True)
