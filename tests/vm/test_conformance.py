"""What every runner must do, done by a virtual machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gym_queue.errors import GymQueueError
from gym_queue.names import RUNNERS
from gym_queue.runners.base import Runner, RunnerSetup
from gym_queue.runners.processes import find_processes
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.runner import QemuRunner
from gym_queue.testing.conformance import RunnerConformance, Subject
from tests.vm.conftest import OPTIONS, MakeRunner, make_spec

SHELL = {
    "entrypoint": "exec xterm -u8 -wf -geometry 160x50+0+0",
    "observation": [{"type": "rgb_screen", "resolution": [1024, 768]}],
}


@pytest.fixture(scope="module")
def terminal(make: MakeRunner, vm_image: Image) -> str:
    """Give the key of a machine that was kept with a terminal on its screen: the others start in a second."""
    runner = make(will_keep=True, **SHELL)
    runner.start()
    runner.save_machine("terminal")
    runner.close()
    return "terminal"


@pytest.mark.needs("qemu-system-x86_64", "qemu-img")
class TestQemu(RunnerConformance):
    @pytest.fixture
    def subject(self, terminal: str, checkpoint_dir: Path) -> Subject:
        opened: dict[str, list[QemuRunner]] = {}

        def open_runner(setup: RunnerSetup) -> Runner:
            runner = QemuRunner(
                replace(setup, vm=OPTIONS, checkpoint=terminal, checkpoint_dir=checkpoint_dir)
            )
            opened.setdefault(setup.env_id, []).append(runner)
            return runner

        def commands(env_id: str) -> Sequence[str]:
            return [*_of_host(env_id), *(line for each in opened.get(env_id, ()) for line in _inside(each))]

        return Subject(
            RUNNERS["qemu"],
            make_spec(SHELL),
            open_runner,
            commands,
            kill=_kill,
            seeded=False,
        )


def _of_host(env_id: str) -> list[str]:
    return [" ".join(each.cmdline()) for each in find_processes(env_id)]


def _inside(runner: QemuRunner) -> list[str]:
    try:
        return runner.exec("ps -eo args=", timeout_s=60).output.splitlines()
    except GymQueueError:  # it is gone, and what ran in it with it
        return []


def _kill(env_id: str) -> None:
    for process in find_processes(env_id):
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
