from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from gym_queue.errors import Conflict, GymQueueError, NotSupported, PathNotFound, RequestInvalid, RunnerFailed
from gym_queue.runners.qemu.images.importing import Source, import_image
from gym_queue.runners.qemu.images.store import ImageStore

from .conftest import Keep, MakeDisk

pytestmark = pytest.mark.needs("qemu-img")
X86_KERNEL = bytes(0x202) + b"HdrS" + bytes(64)
ARM_KERNEL = bytes(0x38) + b"ARMd" + bytes(1024)


def nothing_is_left(store: ImageStore) -> bool:
    return not store.folder.exists() or list(store.folder.rglob("disk.qcow2")) == []


def test_a_disk_is_copied_and_needs_its_file_no_more(store: ImageStore, make_disk: MakeDisk) -> None:
    disk = make_disk()
    image = import_image(Source(disk, os_type="windows", firmware="uefi", user="Docker"), "win", store)
    disk.unlink()
    assert store.verify("win") == image
    assert (image.os_type, image.firmware, image.virtual_bytes) == ("windows", "uefi", 1 << 20)
    assert (image.kernel, image.user) == (None, "Docker")


def test_a_kernel_is_booted_directly(store: ImageStore, make_disk: MakeDisk, tmp_path: Path) -> None:
    kernel, initrd = tmp_path / "k", tmp_path / "i"
    kernel.write_bytes(ARM_KERNEL)
    initrd.write_bytes(b"initrd")
    source = Source(make_disk(), kernel, initrd, append="root=/dev/vda", architecture="aarch64", display=":0")
    image = import_image(source, "arm", store)
    assert (image.firmware, image.append, image.display) == ("direct", "root=/dev/vda", ":0")
    assert image.kernel is not None
    assert image.initrd is not None
    assert image.initrd.read_bytes() == b"initrd"


def test_an_empty_disk_keeps_its_size(store: ImageStore, tmp_path: Path) -> None:
    disk = tmp_path / "empty.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(disk), "3G"], check=True)
    image = import_image(Source(disk), "empty", store)
    assert image.virtual_bytes == 3 << 30
    assert image.disk.stat().st_size == disk.stat().st_size


def test_a_taken_name_is_only_replaced_when_asked(store: ImageStore, keep: Keep, make_disk: MakeDisk) -> None:
    old = keep("mine")
    with pytest.raises(Conflict, match="give --force to replace it"):
        import_image(Source(make_disk()), "mine", store)
    assert import_image(Source(make_disk()), "mine", store, replace=True).digest != old.digest


def test_a_disk_over_another_one_is_refused_with_the_way_to_flatten_it(
    store: ImageStore, make_disk: MakeDisk, tmp_path: Path
) -> None:
    base, top = make_disk(), tmp_path / "top.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", str(base), "-F", "qcow2", str(top)], check=True
    )
    with pytest.raises(RunnerFailed, match=r"is only a part.*disk\.img.*qemu-img convert -O qcow2"):
        import_image(Source(top), "top", store)
    assert nothing_is_left(store)


def test_another_format_is_refused_with_the_way_to_convert_it(store: ImageStore, tmp_path: Path) -> None:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(bytes(4096))
    with pytest.raises(NotSupported, match=r"is no qcow2 \(raw\): convert it"):
        import_image(Source(raw), "raw", store)


def damage(disk: Path, how: str) -> None:
    with disk.open("r+b") as file:
        if how == "cut":
            file.truncate(disk.stat().st_size // 2)
        elif how == "header":
            file.seek(0)
            file.write(b"QFI\xfb" + b"\xff" * 200)
        else:  # an entry of the first table leads beyond the end
            file.seek(int.from_bytes(disk.read_bytes()[40:48], "big"))
            file.write((0x8000_0000_7FFF_0000).to_bytes(8, "big"))


@pytest.mark.parametrize("how", ["cut", "header", "table"])
def test_a_damaged_disk_is_refused_and_nothing_is_left(
    store: ImageStore, make_disk: MakeDisk, how: str
) -> None:
    disk = make_disk()
    damage(disk, how)
    with pytest.raises(RunnerFailed, match=r"is damaged or cut short|cannot be read as a disk"):
        import_image(Source(disk), "bad", store)
    assert nothing_is_left(store)


def test_files_that_are_missing_or_no_file_are_refused(
    store: ImageStore, make_disk: MakeDisk, tmp_path: Path
) -> None:
    for source in (Source(tmp_path / "nope"), Source(tmp_path), Source(make_disk(), tmp_path / "no-kernel")):
        with pytest.raises(PathNotFound, match="cannot be read"):
            import_image(source, "x", store)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (X86_KERNEL, None, ""),
        (ARM_KERNEL, RequestInvalid, "is a kernel for aarch64, not for x86_64: say --architecture aarch64"),
        (b"\x7fELF", NotSupported, "is no Linux kernel that can be booted directly"),
        (b"", NotSupported, "is no Linux kernel"),
    ],
)
def test_a_kernel_must_be_one_of_the_processor(
    store: ImageStore,
    make_disk: MakeDisk,
    tmp_path: Path,
    content: bytes,
    error: type[GymQueueError] | None,
    said: str,
) -> None:
    kernel = tmp_path / "kernel"
    kernel.write_bytes(content)
    if error is None:
        import_image(Source(make_disk(), kernel), "x", store)
        return
    with pytest.raises(error, match=said):
        import_image(Source(make_disk(), kernel), "x", store)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"append": "quiet"}, "belong to a --kernel"),
        ({"initrd": Path("i")}, "belong to a --kernel"),
        ({"kernel": Path("k"), "firmware": "uefi"}, "without firmware"),
        ({"firmware": "direct"}, "needs a --kernel"),
    ],
)
def test_facts_that_do_not_go_together_are_refused(
    store: ImageStore, facts: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestInvalid, match=said):
        import_image(Source(Path("disk"), **facts), "x", store)
