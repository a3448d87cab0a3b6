"""Disks of several layers, and saved machines that are not whole."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gym_queue.errors import RunnerFailed
from gym_queue.runners.base import CheckpointDamaged
from gym_queue.runners.qemu.checkpoints import LEFT_S, QemuCheckpoints
from gym_queue.runners.qemu.snapshots import Snapshot, copy_with_holes, flatten
from gym_queue.runners.qemu.vm import make_overlay


def write(disk: Path, at_kib: int, pattern: int) -> None:
    subprocess.run(
        ["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} {at_kib}k 64k", str(disk)],
        check=True,
        capture_output=True,
    )


@pytest.mark.needs("qemu-img", "qemu-io")
def test_a_disk_of_three_layers_is_written_as_one_over_the_lowest(tmp_path: Path) -> None:
    base, booted, own, kept = (tmp_path / name for name in ("base", "booted", "own", "kept"))
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(base), "16M"], check=True)
    write(base, 0, 1)
    make_overlay(booted, base)
    write(booted, 64, 2)
    make_overlay(own, booted)
    write(own, 128, 3)
    write(own, 64, 4)
    flatten(own, kept, base)
    subprocess.run(["qemu-img", "compare", "-q", str(own), str(kept)], check=True)
    booted.unlink()
    subprocess.run(["qemu-img", "check", "-q", str(kept)], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "read -P 4 64k 64k", str(kept)], check=True)


def test_a_copy_has_the_holes_and_the_data_of_its_source(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    with source.open("wb") as file:
        file.truncate(64 << 20)
        for at in (0, 9 << 20, (64 << 20) - 4096):
            file.seek(at)
            file.write(b"x" * 4096)
    copy_with_holes(source, target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < 1 << 20


def machine(folder: Path) -> Snapshot:
    folder.mkdir()
    snapshot = Snapshot(folder)
    for path in (snapshot.disk, snapshot.ram, snapshot.state):
        path.write_text("kept")
    snapshot.finish("kind")
    return snapshot


@pytest.mark.parametrize("lost", ["state", "ram", "disk.qcow2", "snapshot.json"])
def test_a_checkpoint_that_is_not_whole_is_none(tmp_path: Path, lost: str) -> None:
    snapshot = machine(tmp_path / "key")
    assert QemuCheckpoints(tmp_path).find("key").kind == "kind"
    (snapshot.folder / lost).unlink()
    assert not QemuCheckpoints(tmp_path).holds("key")
    with pytest.raises(CheckpointDamaged, match="is gone"):
        QemuCheckpoints(tmp_path).find("key")


def test_memory_that_was_cut_short_is_not_used(tmp_path: Path) -> None:
    snapshot = machine(tmp_path / "key")
    snapshot.ram.write_text("k")
    assert not snapshot.is_whole()


def test_a_disk_alone_is_no_machine(tmp_path: Path) -> None:
    snapshot = Snapshot(tmp_path)
    snapshot.disk.write_text("disk")
    snapshot.finish(None)
    assert snapshot.is_whole()
    assert not snapshot.is_machine


def test_a_save_that_fails_leaves_nothing_and_one_that_was_killed_long_ago_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".state-1.part").mkdir()
    monkeypatch.setattr("gym_queue.runners.qemu.checkpoints.time.time", lambda: 9e9 + LEFT_S)

    def fail(folder: Path) -> Snapshot:
        raise RunnerFailed("no room")

    with pytest.raises(RunnerFailed, match="no room"):
        QemuCheckpoints(tmp_path).keep("key", fail)
    assert list(tmp_path.iterdir()) == []


def test_removing_what_is_not_there_is_fine(tmp_path: Path) -> None:
    checkpoints = QemuCheckpoints(tmp_path)
    machine(tmp_path / "key")
    checkpoints.remove("key")
    checkpoints.remove("key")
    assert list(tmp_path.iterdir()) == []
