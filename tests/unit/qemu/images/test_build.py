"""What a build is made of, and how it fails; the build itself is ``make vm-image``."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from gym_queue.errors import RequestInvalid, RunnerFailed
from gym_queue.runners.qemu.images import programs
from gym_queue.runners.qemu.images.build import build_image
from gym_queue.runners.qemu.images.filesystem import make_disk
from gym_queue.runners.qemu.images.importing import inspect
from gym_queue.runners.qemu.images.recipe import DEBIAN_X11, find_recipe
from gym_queue.runners.qemu.images.record import file_digest
from gym_queue.runners.qemu.images.rootfs import choose_mirror
from gym_queue.runners.qemu.images.store import ImageStore

from .conftest import Keep

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a build needs root")


def test_an_unknown_recipe_is_answered_with_those_that_exist() -> None:
    with pytest.raises(RequestInvalid, match="only debian-x11: other images are imported"):
        find_recipe("windows")


def test_an_image_that_is_there_is_not_built_again(store: ImageStore, keep: Keep) -> None:
    kept = keep("debian-x11")
    assert build_image(DEBIAN_X11, store) == kept


def test_missing_programs_are_said_with_their_packages() -> None:
    with pytest.raises(RunnerFailed, match="nope-a, nope-b are not installed: apt-get install nope-a nope-b"):
        programs.check_programs(["nope-a", "nope-b", "sh"])


def test_a_host_without_room_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(RunnerFailed, match=r"building x takes .* MiB, and .* MiB free: make room"):
        programs.check_room(tmp_path, 1 << 62, "building x")


def test_a_failed_program_is_explained_by_its_last_lines() -> None:
    seen: list[str] = []
    with pytest.raises(RunnerFailed, match=r"it broke: E: two$"):
        programs.run(
            ["sh", "-c", "echo one; echo; echo 'E: two' >&2; exit 3"], "it broke", on_line=seen.append
        )
    assert seen == ["one", "E: two"]


def test_an_interrupt_ends_a_program_with_all_that_it_started(tmp_path: Path) -> None:
    fifo = tmp_path / "held"
    os.mkfifo(fifo)

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    command = f"sh -c 'echo begun; sleep 60' | tee {fifo} & exec 3>{fifo}; echo begun; sleep 60"
    with pytest.raises(KeyboardInterrupt):
        programs.run(["sh", "-c", command], "never", on_line=interrupt)
    os.set_blocking(reader, True)
    held = threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(reader, 4096), b"")])
    held.start()
    held.join(10)
    assert not held.is_alive(), "a process still holds the pipe"
    os.close(reader)


def test_a_mirror_is_the_hosts_own_unless_one_is_named() -> None:
    sources = [
        "deb http://mirror.test/debian bookworm main",
        "deb http://security.test/ bookworm-security main",
    ]
    assert choose_mirror("bookworm", sources, None) == "http://mirror.test/debian"
    assert choose_mirror("bookworm", sources, "http://other.test") == "http://other.test"
    with pytest.raises(RunnerFailed, match="knows no mirror of Debian trixie: name one by --mirror"):
        choose_mirror("trixie", sources, None)


@needs_root
@pytest.mark.needs("debootstrap", "qemu-img")
def test_a_mirror_that_cannot_be_used_is_one_sentence_and_nothing_is_left(store: ImageStore) -> None:
    with pytest.raises(
        RunnerFailed,
        match=r"Debian bookworm cannot be installed from gopher://nowhere.*--mirror.*: E: unknown location",
    ):
        build_image(DEBIAN_X11, store, mirror="gopher://nowhere")
    assert [each.name for each in store.folder.iterdir()] == [".lock"]


@pytest.mark.needs("mke2fs", "qemu-img")
def test_the_same_files_make_the_same_disk_whenever_and_wherever(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        root = tmp_path / f"root{number}"
        for name in ("b", "a", "c")[:: 1 - 2 * number]:
            (root / name).mkdir(parents=True)
            (root / name / "file").write_text(name)
            os.utime(root / name / "file", (number, 1))
            os.utime(root / name, (number, 1))
        os.utime(root, (number, 1))
        disk = tmp_path / f"disk{number}"
        make_disk(root, disk, virtual_bytes=256 << 20, epoch_s=1_700_000_000)
        digests.add(file_digest(disk))
        assert inspect(disk)["virtual-size"] == 256 << 20
    assert len(digests) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["disk0", "disk1", "root0", "root1"]


def test_every_file_of_the_recipe_is_there() -> None:
    assert "linux-image-amd64" in DEBIAN_X11.packages
    for name in ("dpkg.cfg", "configure.sh", "init.sh", "files/etc/systemd/system/desktop.service"):
        assert (DEBIAN_X11.folder / name).is_file()
