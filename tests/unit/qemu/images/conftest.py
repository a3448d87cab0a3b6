from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.record import DISK, Facts
from gym_queue.runners.qemu.images.store import ImageStore

Keep = Callable[..., Image]
MakeDisk = Callable[..., Path]


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def keep(store: ImageStore) -> Keep:
    """Keep an image of some content under a name."""

    def keep(name: str, content: bytes = b"disk", **facts: str) -> Image:
        with store.locked(), store.staging() as staged:
            (staged / DISK).write_bytes(content)
            return store.keep(name, staged, Facts.model_validate({"virtual_bytes": 1 << 20, **facts}))

    return keep


@pytest.fixture
def make_disk(tmp_path: Path) -> MakeDisk:
    """Make a qcow2 of 1 MiB that holds something."""

    def make(name: str = "disk.img", *options: str) -> Path:
        raw, disk = tmp_path / "raw", tmp_path / name
        raw.write_bytes(b"\x55" * (1 << 20))
        command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, str(raw), str(disk)]
        subprocess.run(command, check=True)
        return disk

    return make
