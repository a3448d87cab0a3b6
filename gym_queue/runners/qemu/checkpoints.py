"""Checkpoints of virtual machines: folders, each under its key, made beside and renamed when whole."""

from __future__ import annotations

import platform
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from gym_queue.errors import RunnerFailed, RunnerUnavailable
from gym_queue.runners.base import CheckpointDamaged, VmOptions
from gym_queue.runners.qemu.acceleration import choose_acceleration
from gym_queue.runners.qemu.guest.install import helper_digest
from gym_queue.runners.qemu.images.choose import choose_image
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.store import ImageStore
from gym_queue.runners.qemu.machine import Machine, machine_for
from gym_queue.runners.qemu.snapshots import GONE, PART, Snapshot
from gym_queue.specs.env import EnvSpec

VERSION_TIMEOUT_S = 20.0
LEFT_S = 3600.0


class QemuCheckpoints:
    """A folder of saved machines and disks.

    Args:
        folder: Where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fingerprint(self, spec: EnvSpec, env_dir: Path | None, *, vm: VmOptions, machine: bool) -> str:  # noqa: ARG002  (images are the host's)
        """Return a digest of the image; for machines that run, of machine and QEMU as well, which must be the same.

        Raises:
            RunnerFailed: There is no such image.
            RunnerUnavailable: QEMU is not installed.
        """
        image, _ = choose_image(spec, ImageStore(vm.image_dir))
        if not machine:
            return image.digest
        kind = machine_for(spec, image, choose_acceleration(vm, architecture=image.architecture))
        return kind_of(image, kind)

    def holds(self, key: str) -> bool:
        """Return whether one is there, whole."""
        return Snapshot(self._folder / key).is_whole()

    def remove(self, key: str) -> None:
        """Remove what is there; machines that run from it go on.

        Raises:
            RunnerFailed: It cannot be removed.
        """
        try:
            for folder in (self._folder / key, self._part(key)):
                Snapshot(folder).remove()
        except OSError as error:
            raise RunnerFailed(f"the checkpoint {key} cannot be removed: {error.strerror}") from error

    def find(self, key: str) -> Snapshot:
        """Return one to start from.

        Raises:
            CheckpointDamaged: It is gone.
        """
        if not self.holds(key):
            raise CheckpointDamaged(f"the checkpoint {key} is gone from {self._folder}: reset without it")
        return Snapshot(self._folder / key)

    def keep(self, key: str, save: Callable[[Path], Snapshot]) -> int:
        """Keep what ``save`` writes to the folder it is given; returns its size in bytes.

        Raises:
            RunnerFailed: It cannot be kept; nothing is.
        """
        self._sweep()
        part = self._part(key)
        shutil.rmtree(part, ignore_errors=True)  # of a save that was broken off
        saved = save(part)
        try:
            size_bytes = saved.size_bytes()
            part.rename(self._folder / key)
        except OSError as error:
            shutil.rmtree(part, ignore_errors=True)
            raise RunnerFailed(f"the checkpoint {key} cannot be kept: {error.strerror}") from error
        return size_bytes

    def _sweep(self) -> None:
        """Remove what saves and removals left that were killed; none takes as long as those are old."""
        for end in (PART, GONE):
            for left in self._folder.glob(f".*{end}"):
                with suppress(FileNotFoundError):
                    if time.time() - left.stat().st_mtime > LEFT_S:
                        shutil.rmtree(left, ignore_errors=True)

    def _part(self, key: str) -> Path:
        return self._folder / f".{key}{PART}"


def kind_of(image: Image, machine: Machine) -> str:
    """Return a digest of all that must be the same for one machine to start from another's memory.

    Raises:
        RunnerUnavailable: QEMU is not installed.
    """
    host = "" if machine.acceleration == "tcg" else _processor()
    return machine.digest(image, qemu_version(machine.binary), helper_digest().hex() + host)


def _processor() -> str:
    """Return what a guest sees of this host's processor when it runs on it: another's state does not fit."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(
        sorted({line for line in lines if line.startswith(("model name", "flags", "microcode", "Features"))})
    )


@lru_cache(maxsize=8)
def qemu_version(binary: str) -> str:
    """Return what a QEMU says of its version.

    Raises:
        RunnerUnavailable: It is not installed, or does not answer.
    """
    try:
        said = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, timeout=VERSION_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise RunnerUnavailable(f"{binary} does not run ({error}): apt-get install qemu-system") from error
    return said.stdout.partition("\n")[0].strip()
