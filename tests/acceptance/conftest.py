"""Real programs in real processes, each test with its own token, temporary folder and mark."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import GymQueueError
from gym_queue.testing import Fleet, FleetSetup

MARK = "GYM_QUEUE_TEST_MARK"


@dataclass(frozen=True)
class Place:
    """Where a test's programs live, so that what they leave behind can be told from everything else."""

    mark: str
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        temp = self.folder / "t"
        temp.mkdir(exist_ok=True)
        return {
            MARK: self.mark,
            "HOME": str(home),
            "TMPDIR": str(temp),
            "GYM_ANYTHING_TOKEN_FILE": str(self.folder / "token"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
        }

    def processes(self) -> list[psutil.Process]:
        """Every process that carries the mark, or works below the folder."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error):
            if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                return False
            return process.environ().get(MARK) == self.mark or process.cwd().startswith(str(self.folder))
        return False

    def wait_empty(self, timeout_s: float = 20.0) -> None:
        """Fail unless no process and no temporary file is left in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not self.processes() and not self.files():
                return
            time.sleep(0.05)
        left = [(process.pid, process.cmdline()) for process in self.processes()]
        pytest.fail(f"left behind: processes {left}, files {self.files()}")

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "t").iterdir())

    def run(self, *command: str, timeout_s: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run one of our programs to its end."""
        return subprocess.run(
            self.command(*command),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            check=False,
        )

    @contextlib.contextmanager
    def started(self, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """Run one of our programs beside the test; ended, if need be killed, after the block."""
        process = subprocess.Popen(
            self.command(*command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
            process.communicate()

    @staticmethod
    def command(program: str, *arguments: str) -> list[str]:
        module = {
            "gym-anything": "gym_queue.cli.main",
            "gym-anything-master": "gym_queue.cli.master",
            "gym-anything-worker": "gym_queue.cli.worker",
            "gym-anything-dashboard": "gym_queue.cli.dashboard",
        }[program]
        return [sys.executable, "-m", module, *arguments]


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    folder = Path(tempfile.mkdtemp(prefix="gqt-"))  # short: unix sockets live below it
    found = Place(uuid.uuid4().hex, folder)
    monkeypatch.setenv("GYM_ANYTHING_TOKEN_FILE", found.variables["GYM_ANYTHING_TOKEN_FILE"])
    monkeypatch.delenv("GYM_ANYTHING_TOKEN", raising=False)
    yield found
    for process in found.processes():
        with contextlib.suppress(psutil.Error):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def fleet_at(place: Place, **setup: object) -> Iterator[Fleet]:
    variables: Mapping[str, str] = place.variables
    with Fleet(FleetSetup(variables=variables, **setup)) as fleet:  # type: ignore[arg-type]
        yield fleet


def wait_until(true: object, timeout_s: float = 20.0) -> None:
    """Poll a condition until it holds; errors of ours count as not yet."""
    assert callable(true)
    deadline = time.monotonic() + timeout_s
    while True:
        with contextlib.suppress(GymQueueError):
            if true():
                return
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
