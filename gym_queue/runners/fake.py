"""The ``fake`` runner: frames made from a seed and a count, commands and files that are real; starts at once.

It carries load tests and the tests of everything above runners, and passes the same conformance suite.
"""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from numpy.random import default_rng
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gym_queue.errors import RunnerFailed, SpecInvalid
from gym_queue.names import RUNNERS
from gym_queue.protocol.actions import Action
from gym_queue.runners.base import ExecResult, Observation, RunnerInfo, RunnerSetup, Traits
from gym_queue.runners.fakescreen import FakeScreen
from gym_queue.runners.homecheckpoints import restore_home, save_home
from gym_queue.runners.hostexec import HostExec, clean_environment, find_bash
from gym_queue.runners.hostfiles import HostHome
from gym_queue.runners.png import assemble, compress_band
from gym_queue.runners.processes import sweep

FRAMES = 32
"""Frames come again after so many actions, and are drawn once: a null environment should cost next to nothing."""
CLOSE_TIMEOUT_S = 10.0
MACHINE_FILE = ".gym-queue-fake-machine"
"""In a checkpoint of a machine, beside its home folder's files: how many actions there were."""


class FakeOptions(BaseModel):
    """The object under the spec's key ``fake``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    create_delay_s: float = Field(0.0, ge=0)
    """How long the start takes."""
    step_delay_s: float = Field(0.0, ge=0)
    """How long each action takes."""
    frame_bytes: int = Field(0, ge=0)
    """Size of each PNG, roughly; never below a few hundred bytes nor above the image's own size."""


class FakeRunner:
    """A sandbox that shows one line of noise, and runs commands in a folder of its own.

    Args:
        setup: What to start; options are under ``fake`` in the spec.

    Raises:
        SpecInvalid: The options are not those of FakeOptions.
        RunnerUnavailable: This machine has no bash.
    """

    TRAITS = Traits(
        ("rgb_screen", "cli_stdout"), ("mouse", "keyboard", "voice", "api_call"), keeps_machines=True
    )

    def __init__(self, setup: RunnerSetup) -> None:
        self._setup = setup
        self._options = _read_options(setup)
        self._home = HostHome(setup.work_dir, copy_bytes=setup.copy_bytes)
        bash = find_bash()
        self._exec = HostExec(bash, self._home.path, clean_environment(setup, self._home, bash))
        self._closed = threading.Event()
        self._steps = 0
        self._screens: dict[bool, FakeScreen] = {}
        width, height = setup.spec.resolution
        self._noise_lines = min(height, max(1, -(-self._options.frame_bytes // (width * 3))))
        rest = np.full((height - self._noise_lines, width, 3), 32, np.uint8)
        self._rest = [compress_band(rest)] if len(rest) else []
        self._frames: dict[int, bytes] = {}

    def start(self) -> None:
        """Make the home folder, after ``create_delay_s``."""
        self._home.create()
        restore_home(self._setup, self._home.path)
        self._restore_count()
        self._pause(self._options.create_delay_s)

    def check(self, action: Action) -> None:
        """Take every action."""

    def act(self, action: Action) -> None:  # noqa: ARG002  (every action counts alike)
        """Count the action, after ``step_delay_s``."""
        self._pause(self._options.step_delay_s)
        self._steps += 1

    def settle(self, *, max_s: float) -> None:  # noqa: ARG002  (nothing moves here)
        """Return at once: the screen is always still."""
        self._check()

    def observe(self) -> Observation:
        """Return the frame of this seed and count of actions."""
        self._check()
        asked = self._setup.spec.observation_types
        return Observation(
            png=self._draw() if "rgb_screen" in asked else None,
            resolution=self._setup.spec.resolution,
            cli_stdout=f"{self._steps} actions" if "cli_stdout" in asked else None,
        )

    def exec(self, command: str, *, timeout_s: float) -> ExecResult:
        """Run a command in a login bash of its own session, in the home folder."""
        return self._exec.run(command, timeout_s=timeout_s)

    def copy_to(self, source: Path, target: str) -> None:
        """Copy a file, or what a folder holds, into the home folder."""
        self._home.copy_in(source, target)

    def copy_from(self, source: str, target: Path) -> None:
        """Copy a file, or what a folder holds, out of the home folder."""
        self._home.copy_out(source, target)

    def open_view(self, *, control: bool) -> Path:
        """Serve viewers on a socket of the environment's folder."""
        self._check()
        if control not in self._screens:
            name = "vnc-control" if control else "vnc-view"
            self._screens[control] = FakeScreen(self._setup.work_dir.absolute() / name, control=control)
        return self._screens[control].path

    def save_checkpoint(self, key: str) -> int:
        """Keep a copy of the home folder; what runs is not kept."""
        return save_home(self._setup, self._home.path, key)

    def save_machine(self, key: str) -> int:
        """Keep the home folder and the count of actions: all that this sandbox's machine is."""
        size_bytes = save_home(self._setup, self._home.path, key)
        assert self._setup.checkpoint_dir is not None  # noqa: S101  the home was kept there
        (self._setup.checkpoint_dir / key / MACHINE_FILE).write_text(str(self._steps))
        return size_bytes

    def _restore_count(self) -> None:
        kept = self._home.path / MACHINE_FILE
        if self._setup.checkpoint is not None and kept.exists():
            self._steps = int(kept.read_text())
            kept.unlink()

    def info(self) -> RunnerInfo:
        """Return the runner's name, and that it can be watched."""
        return RunnerInfo(RUNNERS["fake"], is_viewable=True)

    def close(self) -> None:
        """End every process of the environment and remove its files."""
        self._closed.set()
        self._exec.close()
        while self._screens:
            self._screens.popitem()[1].close()
        sweep(self._setup.env_id, timeout_s=CLOSE_TIMEOUT_S)
        self._home.remove()

    def _check(self) -> None:
        if self._closed.is_set():
            raise RunnerFailed("the environment was closed: create a new one")

    def _pause(self, delay_s: float) -> None:
        if delay_s:
            self._closed.wait(delay_s)
        self._check()

    def _draw(self) -> bytes:
        number = self._steps % FRAMES
        if number not in self._frames:
            self._frames[number] = self._encode(number)
        return self._frames[number]

    def _encode(self, number: int) -> bytes:
        width, height = self._setup.spec.resolution
        random = default_rng([(self._setup.seed or 0) % 2**63, number])
        lines = np.empty((self._noise_lines, width, 3), np.uint8)
        lines[:] = random.integers(64, 256, 3, np.uint8)
        size = min(self._options.frame_bytes, lines.size)
        lines.reshape(-1)[:size] = np.frombuffer(random.bytes(size), np.uint8)
        return assemble(width, height, [compress_band(lines), *self._rest])


def _read_options(setup: RunnerSetup) -> FakeOptions:
    raw = (setup.spec.model_extra or {}).get("fake", {})
    try:
        return FakeOptions.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, ("fake", *first["loc"])))
        raise SpecInvalid(f"env {setup.spec.id}: {where}: {first['msg']}") from None
