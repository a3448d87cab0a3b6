from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from gym_queue.errors import StartupFailed
from gym_queue.runners.base import VmOptions
from gym_queue.runners.qemu.images.record import DISK, Facts
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.worker.doctor import preflight
from gym_queue.worker.doctor.vmimages import vm_images


def keep(folder: Path, name: str) -> None:
    store = ImageStore(folder)
    with store.locked(), store.staging() as staged:
        (staged / DISK).write_bytes(name.encode())
        store.keep(name, staged, Facts(virtual_bytes=1 << 30))


def test_without_an_image_the_command_that_builds_one_is_named(linux, tmp_path):
    found = vm_images(linux, 4, folder=tmp_path)
    assert (found.ok, found.reason) == (False, "no VM image is here")
    assert found.remedy == "gym-anything image build debian-x11"


def test_images_are_listed_by_name(linux, tmp_path):
    for name in ("win11", "debian-x11"):
        keep(tmp_path, name)
    found = vm_images(linux, 4, folder=tmp_path)
    assert (found.ok, found.details) == (True, {"images": "debian-x11, win11"})


def test_an_image_for_another_processor_does_not_count(linux, tmp_path):
    keep(tmp_path, "win11")
    found = vm_images(dataclasses.replace(linux, machine="aarch64"), 4, folder=tmp_path)
    assert (found.ok, found.reason) == (False, "no VM image for aarch64 is here, only win11 (x86_64)")


def test_a_worker_that_must_support_qemu_and_has_no_image_does_not_start(tmp_path):
    vm = VmOptions(allow_emulation=True, image_dir=tmp_path)
    with pytest.raises(
        StartupFailed, match=r"qemu: .*no VM image is here .*gym-anything image build debian-x11"
    ):
        preflight(implemented={"qemu"}, must_support=["qemu"], skip=False, vm=vm)
