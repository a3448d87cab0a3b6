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
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import psutil

from gym_queue.broker.embedded import EmbeddedBroker
from gym_queue.errors import StartupFailed

logger = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
LOG_TAIL_CHARS = 2000
FOLDER_PREFIX = "gym-queue-fleet-"
FLEET_MARK = "GYM_QUEUE_FLEET"
"""The variable that every process of a fleet inherits; its value is the fleet's own."""


class Program:
    """One of our programs in a process of its own, which ends when this one does.

    Args:
        module: Run as ``python -m``.
        arguments: Its flags.
        log: File its output goes to; None hands on to ours.
        variables: Over our environment.
        prefix: A command that runs it.
    """

    def __init__(
        self,
        module: str,
        arguments: Sequence[str],
        *,
        log: Path | None,
        variables: Mapping[str, str],
        prefix: Sequence[str] = (),
    ) -> None:
        self.module = module
        self.log = log
        self.url = ""
        """Where it serves, once ``wait_ready`` has returned."""
        self._ready_r, ready_w = os.pipe()
        lifeline_r, lifeline_w = os.pipe()
        self._fds: tuple[int, ...] = (self._ready_r, lifeline_w)
        output: IO[bytes] | None = log.open("ab") if log else None
        own = {"GYM_QUEUE_READY_FD": str(ready_w), "GYM_QUEUE_LIFELINE_FD": str(lifeline_r)}
        try:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", module, *arguments],
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
        self.url = said.decode().strip()
        return self.url

    def terminate(self) -> None:
        """Ask it to end."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, by SIGKILL."""
        self.process.kill()
        self.wait()

    def pause(self) -> None:
        """Stop it by SIGSTOP, until ``resume``."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on, if it was stopped and still is there."""
        self.process.send_signal(signal.SIGCONT)

    def wait(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """Wait for its end, killing it when it takes too long; return its exit status."""
        try:
            status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            logger.error("%s did not end within %g s and was killed", self.module, timeout_s)
            self.process.kill()
            status = self.process.wait()
        fds, self._fds = self._fds, ()
        for fd in fds:
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
    networks: Sequence[tuple[str, str]] = ()
    """Network namespace of each worker, and the master's address in it; workers beyond share the machine's."""


class Fleet:
    """A master and its workers, started on enter and gone, with all they made, on exit.

    >>> with Fleet(FleetSetup(workers=2)) as fleet:
    ...     env = RemoteGymEnv.from_config(fleet.url, "terminal_env", "largest_file")
    """

    def __init__(self, setup: FleetSetup | None = None) -> None:
        self.setup = setup or FleetSetup()
        self.master: Program | None = None
        self.workers: list[Program] = []
        self.url = ""
        self._mark = uuid.uuid4().hex
        self._folder = Path()
        self._broker: EmbeddedBroker | None = None
        """Of a broker that was restarted; else it is the master's."""

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
        worker = self._worker(len(self.workers), arguments)
        self.workers.append(worker)
        return worker

    @property
    def worker_urls(self) -> list[str]:
        """Where the workers serve, by number; empty of one that was never waited for."""
        return [worker.url for worker in self.workers]

    def worker_id(self, number: int) -> str:
        """Return what a worker is called; they are numbered from 0."""
        return f"worker-{number + 1}"

    def kill_worker(self, number: int) -> None:
        """End a worker by SIGKILL."""
        self.workers[number].kill()

    def terminate_worker(self, number: int) -> int:
        """Ask a worker to end, by SIGTERM; wait for that, and return its exit status."""
        self.workers[number].terminate()
        return self.workers[number].wait(self.setup.grace_s + STOP_TIMEOUT_S)

    def restart_worker(self, number: int) -> None:
        """Start a worker that has ended again, under its name, and wait until it serves."""
        self.workers[number] = self._worker(number, ())
        self.workers[number].wait_ready()

    def pause_worker(self, number: int) -> None:
        """Stop a worker, not its environments, by SIGSTOP."""
        self.workers[number].pause()

    def resume_worker(self, number: int) -> None:
        """Let a worker that was stopped go on."""
        self.workers[number].resume()

    def kill_master(self) -> None:
        """End the master by SIGKILL; its broker lives on."""
        self._running_master().kill()

    def restart_master(self) -> None:
        """Start a master that has ended again, on its port and its state, and wait until it serves."""
        port = self.url.rpartition(":")[2]
        self.master = self._program("gym_queue.cli.master", self._master_flags(port), "master")
        self.master.wait_ready()

    def pause_master(self) -> None:
        """Stop the master by SIGSTOP."""
        self._running_master().pause()

    def resume_master(self) -> None:
        """Let a master that was stopped go on."""
        self._running_master().resume()

    def kill_env_process(self, number: int) -> bool:
        """End the process of one of a worker's environments by SIGKILL; return whether there was one."""
        with suppress(psutil.NoSuchProcess):
            for forkserver in psutil.Process(self.workers[number].process.pid).children():
                for process in forkserver.children():
                    process.kill()
                    return True
        return False

    def kill_broker(self) -> None:
        """End the embedded redis-server by SIGKILL, and wait for it."""
        for process in self._broker_processes():
            process.kill()
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._broker_processes() and time.monotonic() < deadline:
            time.sleep(0.01)  # its parent may never ask how it ended: waiting for that might be for ever

    def restart_broker(self) -> None:
        """Start an embedded redis-server that has ended again, on its files and its port."""
        broker = EmbeddedBroker(self._state_dir, self.setup.host)
        broker.start()
        self._broker = broker

    def pause_broker(self) -> None:
        """Stop the embedded redis-server by SIGSTOP."""
        for process in self._broker_processes():
            process.suspend()

    def resume_broker(self) -> None:
        """Let an embedded redis-server that was stopped go on."""
        for process in self._broker_processes():
            process.resume()

    def stop(self) -> list[int]:
        """End workers, then master, then a broker that has none; return exit statuses, the master's last."""
        self.resume_broker()
        for worker in self.workers:
            worker.resume()
            worker.terminate()
        statuses = [worker.wait(self.setup.grace_s + STOP_TIMEOUT_S) for worker in self.workers]
        self.workers = []
        if self.master is not None:
            self.master.resume()
            self.master.terminate()
            statuses.append(self.master.wait())
            self.master = None
        if self._broker is not None:
            self._broker.stop()
        self.kill_broker()  # of a master that was killed
        shutil.rmtree(self._folder, ignore_errors=True)
        return statuses

    def log_text(self) -> str:
        """Return everything the programs have logged; empty unless quiet."""
        return "\n".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("*.log")))

    def processes(self) -> list[int]:
        """Return the pids of all that runs for this fleet, whoever started it."""
        return [process.pid for process in psutil.process_iter() if _carries(process, self._mark)]

    @property
    def _state_dir(self) -> Path:
        return self.setup.state_dir or self._folder / "state"

    def _start(self) -> None:
        setup = self.setup
        self.master = self._program("gym_queue.cli.master", self._master_flags(str(setup.port)), "master")
        self.url = self.master.wait_ready()
        for _ in range(setup.workers):
            self.add_worker()
        for worker in self.workers:
            worker.wait_ready()

    def _master_flags(self, port: str) -> list[str]:
        setup = self.setup
        where = ["--host", setup.host, "--port", port, "--state-dir", str(self._state_dir)]
        return [*where, *setup.master_arguments]

    def _worker(self, number: int, arguments: Sequence[str]) -> Program:
        setup, url, prefix = self.setup, self.url, list[str]()
        if number < len(setup.networks):
            namespace, master_host = setup.networks[number]
            prefix = ["ip", "netns", "exec", namespace]
            url = f"http://{master_host}:{self.url.rpartition(':')[2]}"
        flags = [
            *("--master-url", url, "--max-envs", str(setup.max_envs), "--grace", f"{setup.grace_s:g}"),
            *("--worker-id", self.worker_id(number), "--host", setup.host),
            *(("--episodes-dir", str(self._folder / "episodes")) if setup.quiet else ()),
            *setup.worker_arguments,
            *arguments,
        ]
        return self._program("gym_queue.cli.worker", flags, self.worker_id(number), prefix)

    def _running_master(self) -> Program:
        assert self.master is not None  # noqa: S101  of a fleet that was started
        return self.master

    def _broker_processes(self) -> list[psutil.Process]:
        """Return the redis-server that works on our files, if there is one."""
        folder = str(self._state_dir / "broker")
        return [process for process in psutil.process_iter() if _works_in(process, "redis-server", folder)]

    def _program(
        self, module: str, arguments: Sequence[str], name: str, prefix: Sequence[str] = ()
    ) -> Program:
        log = self._folder / f"{name}.log" if self.setup.quiet else None
        variables = {FLEET_MARK: self._mark, **self.setup.variables}
        return Program(module, arguments, log=log, variables=variables, prefix=prefix)


def _carries(process: psutil.Process, mark: str) -> bool:
    try:
        is_alive = process.status() != psutil.STATUS_ZOMBIE
        return is_alive and process.environ().get(FLEET_MARK) == mark
    except psutil.Error:
        return False


def _works_in(process: psutil.Process, name: str, folder: str) -> bool:
    try:
        return process.name() == name and process.cwd() == folder
    except psutil.Error:
        return False


def _remove_stale() -> None:
    """Remove the folders of fleets whose process was killed: nobody else is left to."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*-*"):
        pid = folder.name.removeprefix(FOLDER_PREFIX).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)) and _is_ours(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ours(folder: Path) -> bool:
    try:
        return folder.stat().st_uid == os.getuid()
    except FileNotFoundError:  # its own process, or another that looks, was quicker
        return False
