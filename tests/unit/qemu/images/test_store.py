from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gym_queue.errors import RequestInvalid, RunnerFailed
from gym_queue.runners.qemu.images.store import ImageStore

from .conftest import Keep


def test_an_image_is_found_by_its_name_under_its_contents_digest(store: ImageStore, keep: Keep) -> None:
    kept = keep("mine", os_type="windows", user="me")
    assert store.find("mine") == kept
    assert (kept.os_type, kept.user, kept.virtual_bytes, kept.disk_bytes) == ("windows", "me", 1 << 20, 4)
    assert kept.digest == f"sha256:{kept.disk.parent.name}"
    assert kept.disk.stat().st_mode & 0o777 == 0o444


def test_the_digest_is_of_what_a_machine_sees_and_of_nothing_else(keep: Keep) -> None:
    assert keep("a").digest == keep("b", user="somebody").digest
    assert keep("c", append="quiet").digest != keep("a").digest != keep("d", b"other").digest


def test_a_missing_image_is_said_with_those_that_are_there_and_how_to_get_it(
    store: ImageStore, keep: Keep
) -> None:
    with pytest.raises(RunnerFailed, match=r"there are: none.*gym-anything image build debian-x11"):
        store.find("debian-x11")
    keep("mine")
    with pytest.raises(RunnerFailed, match=r"there are: mine.*image import FILE.qcow2 --name other"):
        store.find("other")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "ubuntu:22.04", "x" * 64, "a b", "a\n"])
def test_a_name_that_is_no_plain_word_is_refused(store: ImageStore, keep: Keep, name: str) -> None:
    with pytest.raises(RequestInvalid, match="is no name of an image"):
        store.find(name)
    with pytest.raises(RequestInvalid):
        keep(name)


@pytest.mark.parametrize("content", [b"dis", b"DISK", b""])
def test_a_disk_that_was_cut_or_changed_is_not_used(store: ImageStore, keep: Keep, content: bytes) -> None:
    disk = keep("mine").disk
    disk.chmod(0o644)
    disk.write_bytes(content)
    os.utime(disk, (1, 1))  # a clock so coarse that the time is the same would hide a change of no bytes
    with pytest.raises(
        RunnerFailed, match=r"mine is broken, .* is not what was kept.*import FILE.qcow2 --name mine"
    ):
        store.find("mine")


def test_a_file_that_only_has_another_time_is_read_once_and_used(store: ImageStore, keep: Keep) -> None:
    disk = keep("mine").disk
    before = disk.stat().st_mtime_ns
    os.utime(disk, (1, 1))
    store.find("mine")
    assert disk.stat().st_mtime_ns == before


def test_verify_finds_what_size_and_time_hide(store: ImageStore, keep: Keep) -> None:
    disk = keep("mine").disk
    before = disk.stat().st_mtime_ns
    disk.chmod(0o644)
    disk.write_bytes(b"dusk")
    os.utime(disk, ns=(before, before))
    store.find("mine")
    with pytest.raises(RunnerFailed, match="is not what was kept"):
        store.verify("mine")


def test_a_broken_image_is_left_out_of_the_list_and_can_be_removed(store: ImageStore, keep: Keep) -> None:
    keep("good")
    (keep("bad", b"bad").disk.parent / "image.json").write_text("{")
    assert [image.name for image in store.list()] == ["good"]
    with pytest.raises(RunnerFailed, match=r"image\.json cannot be read"):
        store.find("bad")
    store.remove("bad")
    assert store.names() == ["good"]


def test_files_go_with_the_last_name(store: ImageStore, keep: Keep) -> None:
    folder = keep("a").disk.parent
    keep("b")
    store.remove("a")
    assert store.find("b").disk.parent == folder
    store.remove("b")
    assert not folder.exists()
    with pytest.raises(RunnerFailed, match="there is no VM image b"):
        store.remove("b")


def test_a_name_moves_to_new_content_and_the_old_goes(store: ImageStore, keep: Keep) -> None:
    old = keep("mine")
    new = keep("mine", b"new")
    assert store.find("mine") == new
    assert not old.disk.exists()


def test_content_that_is_kept_again_stays_where_machines_may_run_from_it(keep: Keep) -> None:
    inode = keep("mine").disk.stat().st_ino
    assert keep("mine").disk.stat().st_ino == inode


def test_what_a_killed_build_left_is_never_found_and_removed_by_the_next(
    store: ImageStore, keep: Keep
) -> None:
    code = (
        "import os, sys; from pathlib import Path; from gym_queue.runners.qemu.images.store import ImageStore\n"
        "store = ImageStore(Path(sys.argv[1]))\n"
        "with store.locked(), store.staging() as staged:\n"
        "    (staged / 'disk.qcow2').write_bytes(b'half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(store.folder)], check=False)
    assert list(store.folder.rglob("disk.qcow2")) != []
    assert store.list() == []
    kept = keep("mine")
    assert (
        list(store.folder.rglob("disk.qcow2"))
        == [kept.disk, kept.disk.parent.parent / "names/mine/disk.qcow2"][:1]
    )


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(RunnerFailed, match="cannot be written"),
        ImageStore(tmp_path / "file" / "images").locked(),
    ):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_what_root_makes_belongs_to_whom_the_folder_is_of(
    tmp_path: Path, keep: Keep, store: ImageStore
) -> None:
    os.chown(tmp_path, 1234, 1234)
    disk = keep("mine").disk
    made = (disk, disk.parent, store.folder, store.folder / "names", store.folder / "names" / "mine")
    assert {path.lstat().st_uid for path in made} == {1234}
