"""A machine as it was at one moment: its memory, its devices and its disk, as files that others start from.

Memory is a file that QEMU maps. A machine that boots to be frozen writes into it as it runs, so that freezing is next
to nothing; machines that are restored map it copy-on-write, so that they start at once, and share what none of them
wrote. A machine that is going to be saved has a copy of its own to write into. Any other that is saved is so through
a second QEMU, which takes its memory over and never runs.
Source of the parts: migration capability ``x-ignore-shared`` and memory backends of QEMU (qapi/migration.json, docs/devel/migration).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gym_queue.errors import RunnerFailed
from gym_queue.runners.base import CheckpointDamaged
from gym_queue.runners.qemu.machine import DISK
from gym_queue.runners.qemu.qmp import Qmp
from gym_queue.runners.qemu.vm import Vm, image_tool

STATE_TIMEOUT_S = 120.0
POLL_S = 0.005
ROOM_BYTES = 256 << 20
"""What must stay free on a disk beside what is saved."""
PART, GONE = ".part", ".gone"
"""Ends of the names of what is being saved, and of what is being removed."""
UNLIMITED = 1 << 40
"""Bytes a second: a migration within one host."""
_SOCKET = "take-over.sock"


class _Meta(BaseModel):
    model_config = ConfigDict(frozen=True)

    kind: str | None
    ram_bytes: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A saved machine, or only its disk.

    Args:
        folder: Where its files are.
    """

    folder: Path

    @property
    def disk(self) -> Path:
        """The disk; its backing file is the image's."""
        return self.folder / DISK

    @property
    def ram(self) -> Path:
        """The memory, as large as the machine's, with holes where nothing was written."""
        return self.folder / "ram"

    @property
    def state(self) -> Path:
        """The state of processors and devices."""
        return self.folder / "state"

    @property
    def is_machine(self) -> bool:
        """Whether it holds a machine that runs, not a disk alone.

        Raises:
            CheckpointDamaged: It is not whole.
        """
        return self._meta().kind is not None

    @property
    def kind(self) -> str | None:
        """Digest of the machine that it holds; None for a disk. Raises as ``is_machine``."""
        return self._meta().kind

    def is_whole(self) -> bool:
        """Whether all of it is there."""
        try:
            meta = self._meta()
        except CheckpointDamaged:
            return False
        if meta.kind is None:
            return self.disk.is_file()
        is_ram = self.ram.is_file() and self.ram.stat().st_size == meta.ram_bytes
        return is_ram and self.state.is_file() and self.disk.is_file()

    def finish(self, kind: str | None) -> None:
        """Write down that it is whole; the last thing that a save does.

        Args:
            kind: Digest of the machine; None for a disk alone.
        """
        ram_bytes = self.ram.stat().st_size if kind is not None else 0
        self._path.write_text(_Meta(kind=kind, ram_bytes=ram_bytes).model_dump_json())

    def remove(self) -> None:
        """Remove it: nobody finds half of it meanwhile.

        Raises:
            OSError: It cannot be.
        """
        gone = self.folder.with_name(f".{self.folder.name}.{os.getpid()}{GONE}")
        try:
            self.folder.rename(gone)
        except FileNotFoundError:
            return  # another was first
        shutil.rmtree(gone)

    @property
    def _path(self) -> Path:
        return self.folder / "snapshot.json"

    def _meta(self) -> _Meta:
        try:
            return _Meta.model_validate_json(self._path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CheckpointDamaged(f"the saved machine {self.folder} is not whole: remove it") from error

    def size_bytes(self) -> int:
        """Return what it takes on disk."""
        return sum(path.stat().st_blocks * 512 for path in self.folder.iterdir())


def restore(vm: Vm, snapshot: Snapshot) -> None:
    """Start a machine from where a snapshot stopped.

    Args:
        vm: Launched to wait for a state; its memory is the snapshot's, not shared, or a file to be made, shared.
        snapshot: It.

    Raises:
        CheckpointDamaged: It is not whole, or QEMU does not take it.
        RunnerFailed: There is no room, the machine was closed, or does not start.
    """
    if not snapshot.is_whole():
        raise CheckpointDamaged(f"the saved machine {snapshot.folder} is not whole: remove it")
    if vm.launch.is_ram_shared:
        _copy_ram(vm, snapshot)
    vm.start(snapshot.disk)
    _ignore_shared(vm.qmp, on=True)
    try:
        with snapshot.state.open("rb") as state:
            vm.qmp.ask("getfd", fds=[state.fileno()], fdname="state")
            vm.qmp.ask("migrate-incoming", uri="fd:state")
            _wait_incoming(vm)
    except (RunnerFailed, OSError) as error:
        vm.check_open()
        raise CheckpointDamaged(f"a saved machine cannot be started from: {error}") from error
    vm.qmp.ask("cont")


def _copy_ram(vm: Vm, snapshot: Snapshot) -> None:
    assert vm.launch.ram is not None  # noqa: S101  memory that is shared is a file
    check_room(vm.folder.parent, vm.launch.machine.memory_bytes)
    try:
        vm.folder.mkdir(mode=0o700, exist_ok=True)
        copy_with_holes(snapshot.ram, vm.launch.ram)
    except OSError as error:
        raise RunnerFailed(
            f"there is no room for a machine's memory in {vm.folder}: {error.strerror}"
        ) from error


def save_machine(vm: Vm, folder: Path, base: Path, kind: str) -> Snapshot:
    """Save a machine that runs; it stands still meanwhile and goes on afterwards.

    Args:
        vm: It.
        folder: Where to; made here, removed again on failure.
        base: The image's disk, which the saved one is laid over.
        kind: Digest of the machine, for those that want to start from it.

    Raises:
        RunnerFailed: There is no room, or the machine ended.
    """
    check_room(folder.parent, vm.launch.machine.memory_bytes)
    snapshot = Snapshot(folder)
    vm.check_running()
    return _kept(vm, snapshot, lambda: _save_running(vm, snapshot, base), kind)


def freeze(vm: Vm, snapshot: Snapshot, base: Path, kind: str) -> None:
    """Save a machine whose memory is the snapshot's file already; it never runs again.

    Raises:
        RunnerFailed: There is no room, or the machine ended.
    """
    vm.check_running()
    vm.qmp.ask("stop")
    try:
        _write_state(vm, snapshot.state)
        _copy_disk(vm, snapshot, base)
        snapshot.finish(kind)
    except OSError as error:
        raise RunnerFailed(f"a machine that has booted cannot be kept: {error.strerror or error}") from error


def save_disk(vm: Vm, folder: Path, base: Path) -> Snapshot:
    """Save a machine's disk alone; as ``save_machine`` otherwise. What runs inside has written all it had to."""
    check_room(folder.parent, 0)
    snapshot = Snapshot(folder)
    vm.check_running()
    return _kept(vm, snapshot, lambda: _save_stopped(vm, snapshot, base), None)


def _kept(vm: Vm, snapshot: Snapshot, save: Callable[[], None], kind: str | None) -> Snapshot:
    """Save into a folder made for it, and let the machine go on whatever happens."""
    try:
        snapshot.folder.mkdir(parents=True, mode=0o700)
        vm.qmp.ask("stop")
        try:
            save()
            snapshot.finish(kind)
        finally:
            vm.qmp.ask("cont", timeout_s=STATE_TIMEOUT_S)
    except OSError as error:
        shutil.rmtree(snapshot.folder, ignore_errors=True)
        raise RunnerFailed(
            f"the virtual machine cannot be kept in {snapshot.folder.parent}: {error.strerror or error}"
        ) from error
    except BaseException:
        shutil.rmtree(snapshot.folder, ignore_errors=True)
        raise
    return snapshot


def _save_running(vm: Vm, snapshot: Snapshot, base: Path) -> None:
    ram = vm.launch.ram
    if ram is not None and vm.launch.is_ram_shared:
        _write_state(vm, snapshot.state)
        copy_with_holes(ram, snapshot.ram)
    else:
        _take_over(vm, snapshot)
    _copy_disk(vm, snapshot, base)


def _save_stopped(vm: Vm, snapshot: Snapshot, base: Path) -> None:
    """Copy the disk of a machine that stands still: it lets go of its disk once its state has left."""
    with Path(os.devnull).open("wb") as nowhere:
        _ignore_shared(vm.qmp, on=True)
        _send_state(vm, nowhere.fileno())
    _copy_disk(vm, snapshot, base)


def _copy_disk(vm: Vm, snapshot: Snapshot, base: Path) -> None:
    """Write the disk as one layer over its image, whatever it was laid over; the machine has let go of it."""
    vm.check_backing()
    flatten(vm.folder / DISK, snapshot.disk, base)


def flatten(disk: Path, target: Path, base: Path) -> None:
    """Write a disk of several layers as one over the lowest.

    Args:
        disk: The uppermost layer.
        target: Where to.
        base: The lowest, which the others lie over.

    Raises:
        RunnerFailed: It cannot be done.
        OSError: There is no room.
    """
    copy_with_holes(disk, target)
    image_tool("rebase", "-q", "-f", "qcow2", "-F", "qcow2", "-b", str(base), str(target))


def _write_state(vm: Vm, path: Path) -> None:
    _ignore_shared(vm.qmp, on=True)
    with path.open("wb") as state:
        _send_state(vm, state.fileno())


def _send_state(vm: Vm, fd: int) -> None:
    vm.qmp.ask("migrate-set-parameters", max_bandwidth=UNLIMITED)
    vm.qmp.ask("getfd", fds=[fd], fdname="state")
    vm.qmp.ask("migrate", uri="fd:state")
    _wait_outgoing(vm.qmp)


def _take_over(vm: Vm, snapshot: Snapshot) -> None:
    """Move the machine's memory and state to a QEMU that has its memory in the snapshot's file, and save that."""
    launch = replace(vm.launch, ram=snapshot.ram, is_ram_shared=True, is_incoming=True, forwards=())
    taker = Vm(vm.env_id, vm.folder / "taker", launch)
    try:
        taker.start(vm.backing)
        taker.qmp.ask("migrate-incoming", uri=f"unix:{_SOCKET}")
        _ignore_shared(vm.qmp, on=False)
        vm.qmp.ask("migrate-set-parameters", max_bandwidth=UNLIMITED)
        vm.qmp.ask("migrate", uri=f"unix:taker/{_SOCKET}")
        _wait_outgoing(vm.qmp)
        _wait_incoming(taker)
        _write_state(taker, snapshot.state)
    finally:
        taker.close()


def _ignore_shared(qmp: Qmp, *, on: bool) -> None:
    qmp.ask("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": on}])


def _wait_outgoing(qmp: Qmp) -> None:
    deadline = time.monotonic() + STATE_TIMEOUT_S
    while (told := qmp.ask("query-migrate")).get("status") != "completed":
        if told.get("status") in ("failed", "cancelled"):
            raise RunnerFailed(
                f"the virtual machine's state cannot be saved: {told.get('error-desc', 'no reason')}"
            )
        if time.monotonic() > deadline:
            raise RunnerFailed(f"the virtual machine's state was not saved in {STATE_TIMEOUT_S:g} s")
        time.sleep(POLL_S)


def _wait_incoming(vm: Vm) -> None:
    deadline = time.monotonic() + STATE_TIMEOUT_S
    while vm.qmp.ask("query-status")["status"] == "inmigrate":
        vm.check_alive()
        if time.monotonic() > deadline:
            raise RunnerFailed(f"a virtual machine was not restored in {STATE_TIMEOUT_S:g} s")
        time.sleep(POLL_S)


def copy_with_holes(source: Path, target: Path) -> None:
    """Copy a file's data; what was never written stays a hole.

    Raises:
        OSError: There is no room.
    """
    size = source.stat().st_size
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.truncate(size)
        for start, end in _pieces(reader.fileno(), size):
            at = start
            while at < end:
                at += os.copy_file_range(reader.fileno(), writer.fileno(), end - at, at, at)


def _pieces(fd: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has data, as lseek(2) tells."""
    at = 0
    while at < size:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:  # there is none behind
            return
        end = os.lseek(fd, at, os.SEEK_HOLE)
        yield at, end
        at = end


def check_room(folder: Path, needed: int) -> None:
    """See that a disk has room.

    Args:
        folder: On it; made when it is not there.
        needed: What is going to be written at most, in bytes.

    Raises:
        RunnerFailed: It has not, or the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise RunnerFailed(f"no machine can be saved in {folder}: {error.strerror}") from error
    if free < needed + ROOM_BYTES:
        raise RunnerFailed(
            f"{folder} has {free >> 20} MiB free and a saved machine may take {(needed + ROOM_BYTES) >> 20} MiB: make room"
        )
