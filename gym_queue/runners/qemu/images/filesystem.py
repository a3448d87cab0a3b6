"""A disk made of a folder, without mounting anything; the same folder makes the same bytes."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gym_queue.errors import RunnerFailed
from gym_queue.runners.qemu.images.programs import find_program, run

UUID = "6b1f2c1e-6a43-4e0f-9a53-7f2f3c6b8d10"
"""Of the file system, and of the seed of its folders' hashes."""
INODES = 262_144
JOURNAL_MIB = 32
FEATURES = (
    "none,has_journal,ext_attr,resize_inode,dir_index,filetype,extent,64bit,flex_bg,sparse_super,large_file,"
    "huge_file,dir_nlink,extra_isize"
)
"""Without checksums of metadata: an emulated processor pays for them, and the disk lives for one episode."""


def make_disk(root: Path, disk: Path, *, virtual_bytes: int, epoch_s: int) -> None:
    """Write a folder as an ext4 file system in a qcow2.

    Args:
        root: What it holds.
        disk: The file to make.
        virtual_bytes: Its size, as a guest sees it.
        epoch_s: The time of the file system, and of all times that a folder does not keep.

    Raises:
        RunnerFailed: There is no room.
    """
    raw = disk.with_name("raw")
    with raw.open("wb") as file:
        file.truncate(virtual_bytes)
    times = {"E2FSPROGS_FAKE_TIME": str(epoch_s), "MKE2FS_CONFIG": "/dev/null"}
    extended = f"hash_seed={UUID},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0"
    options = ["-O", FEATURES, "-U", UUID, "-E", extended, "-b", "4096", "-I", "256", "-N", str(INODES)]
    options += ["-J", f"size={JOURNAL_MIB}", "-m", "1", "-L", "root"]
    what = "the file system cannot be written"
    run(["mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", root, raw], what, variables=times)
    _set_times(raw, epoch_s, times)
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, disk], "the disk cannot be converted")
    raw.unlink()


def _set_times(raw: Path, epoch_s: int, variables: dict[str, str]) -> None:
    """Overwrite the times that no program can set on a folder's files: of the last read, and of the last change."""
    script = raw.with_name("times")
    fields = ("atime", "ctime")
    with script.open("w") as file:
        for inode in range(1, _used_inodes(raw) + 1):
            file.writelines(f"set_inode_field <{inode}> {field} @{epoch_s}\n" for field in fields)
    run(["debugfs", "-w", "-f", script, raw], "the file system's times cannot be set", variables=variables)
    script.unlink()


def _used_inodes(raw: Path) -> int:
    command = [find_program("dumpe2fs") or "dumpe2fs", "-h", str(raw)]
    head = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    counts = dict(line.split(":", 1) for line in head.splitlines() if ":" in line)
    try:
        return int(counts["Inode count"]) - int(counts["Free inodes"])
    except (KeyError, ValueError) as error:
        raise RunnerFailed(f"dumpe2fs says nothing of the inodes of {raw}: {head[-200:]!r}") from error
