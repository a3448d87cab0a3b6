"""What the suite has to know of a runner, and how its cases start one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from gym_queue.protocol.actions import parse_actions
from gym_queue.runners.base import Runner, RunnerSetup
from gym_queue.specs.env import EnvSpec

Start = Callable[..., Runner]
FOREVER = str(1_000_000 + os.getpid())
"""Seconds that sleeps of this test run alone last."""
EXEC_TIMEOUT_S = 60.0
SETTLE_MAX_S = 10.0


@dataclass(frozen=True, slots=True)
class Subject:
    """A runner under test, and what cannot be asked of it through Runner."""

    name: str
    """As ``session_info`` says it."""
    spec: EnvSpec
    """What to start; it has a screen of 640 x 400 pixels or more, and a terminal on it when ``shell``."""
    open: Callable[[RunnerSetup], Runner]
    find_processes: Callable[[str], Sequence[str]]
    """Env id → the command lines, on this machine, of all that runs inside or for it."""
    find_leftovers: Callable[[str], Sequence[str]] = lambda _: ()
    """Env id → names of what lies outside of the work folder: containers, volumes, disks."""
    kill: Callable[[str], None] | None = None
    """Env id → end the sandbox from outside, as a crash would; None when nothing runs between calls."""
    shell: bool = True
    """What is typed reaches a bash."""
    seeded: bool = True
    """One seed and one script give the same screens."""


class Cases:
    """Fixtures of every case."""

    @pytest.fixture
    def env_id(self) -> str:
        """Give an env id of the test's own."""
        return f"conformance-{uuid.uuid4()}"

    @pytest.fixture
    def start(self, subject: Subject, tmp_path: Path) -> Iterator[Start]:
        """Give a function that starts a runner of the subject; all are closed afterwards."""
        opened: list[Runner] = []

        def open_and_start(seed: int = 1, env_id: str | None = None, work_dir: Path | None = None) -> Runner:
            work_dir = work_dir or tmp_path / f"work{len(opened)}"
            work_dir.mkdir(exist_ok=True)
            variables = {"GYM_SEED": str(seed)}
            setup = RunnerSetup(
                env_id or str(uuid.uuid4()), subject.spec, None, work_dir, seed, variables=variables
            )
            opened.append(subject.open(setup))
            opened[-1].start()
            return opened[-1]

        yield open_and_start
        for runner in opened:
            runner.close()

    @pytest.fixture
    def runner(self, start: Start) -> Runner:
        """Give a started runner."""
        return start()


def act(runner: Runner, *actions: dict[str, object]) -> None:
    """Inject actions, then wait until the screen is still."""
    for action in parse_actions(actions):
        runner.check(action)
        runner.act(action)
    runner.settle(max_s=SETTLE_MAX_S)


def output_of(runner: Runner, command: str) -> str:
    """Return what a command prints."""
    return runner.exec(command, timeout_s=EXEC_TIMEOUT_S).output
