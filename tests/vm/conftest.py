"""Real virtual machines of the image debian-x11; what lacks is skipped or, when required, fails.

A machine of each kind boots once on this host, in the first test that needs it; the others start from there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import GymQueueError
from gym_queue.runners.base import RunnerSetup, VmOptions
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.runners.qemu.runner import QemuRunner
from gym_queue.specs.env import EnvSpec

IMAGE = "debian-x11"
TOOL = "qemu-system-x86_64"
OPTIONS = VmOptions(acceleration="tcg", allow_emulation=True)
"""Software emulation: what runs on every machine that tests run on."""
MakeRunner = Callable[..., QemuRunner]


def lacking(reason: str) -> None:
    if TOOL in os.environ.get("GYM_QUEUE_REQUIRE", "").split(","):
        pytest.fail(f"{reason}, and GYM_QUEUE_REQUIRE names {TOOL}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def vm_image() -> Image:
    """Give the image, which ``make vm-image`` builds."""
    if shutil.which(TOOL) is None:
        lacking(f"there is no {TOOL}")
    try:
        return ImageStore().find(IMAGE)
    except GymQueueError as error:
        lacking(str(error))
        raise


def make_spec(fields: Mapping[str, Any]) -> EnvSpec:
    shown = {
        "id": "vm-test",
        "image": IMAGE,
        "runner": "qemu",
        "observation": [{"type": "rgb_screen", "resolution": [1024, 768]}],
        "action": [{"type": "mouse"}, {"type": "keyboard"}],
        "entrypoint": "exec xterm -u8 -geometry 150x50+0+0",
        "resources": {"cpu": 2, "mem_gb": 1, "net": False},
    }
    return EnvSpec.model_validate({**shown, **fields})


def own(env_id: str) -> str:
    """Return the env id as this process' machines bear it: others run the same tests on the same host."""
    return f"{env_id}-{os.getpid()}"


@pytest.fixture(scope="session")
def checkpoint_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder for checkpoints."""
    return tmp_path_factory.mktemp("vm-checkpoints")


@pytest.fixture(scope="module")
def make(vm_image: Image, checkpoint_dir: Path) -> Iterator[MakeRunner]:
    """Give a function that makes a runner of a spec's fields, not started yet; all are closed with the module."""
    made: list[QemuRunner] = []
    folders: list[Path] = []

    def make_runner(
        env_id: str = "vm-test",
        *,
        checkpoint: str | None = None,
        vm: VmOptions = OPTIONS,
        variables: Mapping[str, str] | None = None,
        env_dir: Path | None = None,
        will_keep: bool = False,
        **fields: Any,
    ) -> QemuRunner:
        work_dir = Path(tempfile.mkdtemp(prefix="vm-test-"))
        folders.append(work_dir)
        setup = RunnerSetup(
            own(f"{env_id}{len(made)}"),
            make_spec({"image": vm_image.name, **fields}),
            env_dir,
            work_dir,
            1,
            variables=dict(variables or {}),
            checkpoint=checkpoint,
            checkpoint_dir=checkpoint_dir,
            vm=vm,
            will_keep=will_keep,
        )
        made.append(QemuRunner(setup))
        return made[-1]

    yield make_runner
    for runner in made:
        runner.close()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def runner(make: MakeRunner) -> QemuRunner:
    """Give a started machine that the tests of a module share."""
    runner = make()
    runner.start()
    return runner
