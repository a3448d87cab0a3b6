"""Machines that have booted: made once, found by the others, thrown out when unused."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.booted import MAX_KEPT, BootedMachines, prefix_of
from gym_queue.runners.qemu.snapshots import Snapshot


def boot(snapshot: Snapshot) -> None:
    for path in (snapshot.disk, snapshot.ram, snapshot.state):
        path.write_text("disk")
    snapshot.finish("kind")


def test_a_machine_is_booted_once(tmp_path: Path) -> None:
    booted, boots = BootedMachines(tmp_path / "booted"), list[Snapshot]()

    def counted(snapshot: Snapshot) -> None:
        boots.append(snapshot)
        boot(snapshot)

    first, second = booted.get("d", 0, counted), booted.get("d", 0, counted)
    assert first == second
    assert first.disk.read_text() == "disk"
    assert len(boots) == 1


def test_those_that_come_while_one_boots_wait_for_it(tmp_path: Path) -> None:
    boots, begun, go_on = list[int](), threading.Event(), threading.Event()

    def slow(snapshot: Snapshot) -> None:
        boots.append(1)
        begun.set()
        go_on.wait(30)
        boot(snapshot)

    found: list[Snapshot] = []
    threads = [
        threading.Thread(target=lambda: found.append(BootedMachines(tmp_path).get("d", 0, slow)))
        for _ in range(3)
    ]
    threads[0].start()
    begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(found) == len(threads)
    assert len(boots) == 1


def test_a_boot_that_fails_leaves_nothing_and_the_next_one_boots(tmp_path: Path) -> None:
    def failing(snapshot: Snapshot) -> None:
        snapshot.ram.write_text("half")
        raise RunnerFailed("it never boots")

    booted = BootedMachines(tmp_path)
    with pytest.raises(RunnerFailed, match="never boots"):
        booted.get("d", 0, failing)
    assert [each for each in tmp_path.iterdir() if each.is_dir()] == []
    assert booted.get("d", 0, boot).disk.exists()


def test_what_a_killed_boot_left_is_not_used(tmp_path: Path) -> None:
    (tmp_path / ".d.part").mkdir()
    (tmp_path / ".d.part" / "ram").write_text("half")
    kept = BootedMachines(tmp_path).get("d", 0, boot)
    assert kept.ram.read_text() == "disk"


def test_what_a_killed_boot_of_another_kind_left_goes_and_what_still_boots_stays(tmp_path: Path) -> None:
    for name in ("killed", "boots"):
        (tmp_path / f".{name}.part").mkdir()
    with (tmp_path / ".boots.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        BootedMachines(tmp_path).get("d", 0, boot)
    assert {each.name for each in tmp_path.glob(".*.part")} == {".boots.part"}


def test_the_least_recently_used_goes(tmp_path: Path) -> None:
    booted = BootedMachines(tmp_path)
    for number in range(MAX_KEPT):
        folder = booted.get(f"d{number}", 0, boot).folder
        os.utime(folder, (number, number))
    booted.get("d0", 0, boot)  # used again
    booted.get("new", 0, boot)
    kept = {each.name for each in tmp_path.iterdir() if each.is_dir()}
    assert "d1" not in kept
    assert {"d0", "new"} < kept
    assert len(kept) == MAX_KEPT


def test_one_that_cannot_be_started_from_is_booted_again(tmp_path: Path) -> None:
    booted = BootedMachines(tmp_path)
    booted.forget(booted.get("d", 0, boot))
    assert not (tmp_path / "d").exists()
    assert booted.get("d", 0, boot).disk.exists()


@pytest.mark.parametrize("lost", ["state", "ram", "disk.qcow2", "snapshot.json"])
def test_one_that_is_not_whole_is_booted_again(tmp_path: Path, lost: str) -> None:
    booted = BootedMachines(tmp_path)
    (booted.get("d", 0, boot).folder / lost).unlink()
    assert booted.get("d", 0, boot).is_whole()


def test_those_of_an_image_go_with_it(tmp_path: Path) -> None:
    booted = BootedMachines(tmp_path)
    digests = [f"sha256:{letter * 64}" for letter in "ab"]
    names = [f"{prefix_of(digest)}-kind" for digest in digests]
    for name in names:
        booted.get(name, 0, boot)
    booted.forget_image(digests[0])
    assert [(tmp_path / name).exists() for name in names] == [False, True]


def test_a_disk_without_room_is_said_before_the_boot(tmp_path: Path) -> None:
    with pytest.raises(RunnerFailed, match="make room"):
        BootedMachines(tmp_path).get("d", 1 << 60, boot)


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunnerFailed, match=r"no machine can be saved in .*file/booted: Not a directory"):
        BootedMachines(tmp_path / "file" / "booted").get("d", 0, boot)
