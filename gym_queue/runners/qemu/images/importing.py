"""Takes a disk that was made elsewhere into the store: checked, copied, never linked."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_queue.errors import Conflict, NotSupported, PathNotFound, RequestInvalid, RunnerFailed
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.programs import check_programs, check_room
from gym_queue.runners.qemu.images.record import DISK, INITRD, KERNEL, Architecture, Facts, Firmware, OsType
from gym_queue.runners.qemu.images.store import ImageStore, check_name

CHUNK_BYTES = 4 << 20
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Source:
    """What to import."""

    disk: Path
    kernel: Path | None = None
    initrd: Path | None = None
    append: str = ""
    os_type: OsType = "linux"
    architecture: Architecture = "x86_64"
    firmware: Firmware | None = None
    """None is ``direct`` with a kernel, else bios."""
    display: str = ""
    user: str = ""


def import_image(
    source: Source, name: str, store: ImageStore, *, replace: bool = False, say: Say = lambda _: None
) -> Image:
    """Copy a disk, and maybe a kernel and an initrd, into the store.

    Args:
        source: The files, and what is known of them.
        name: The image's name.
        store: Where it is kept.
        replace: Whether it may take the place of an image of that name.
        say: Told each stage, in a sentence.

    Raises:
        RequestInvalid: The name or the facts do not go together.
        PathNotFound: A file is not there.
        Conflict: The name is taken.
        NotSupported: The disk is no qcow2.
        RunnerFailed: It is damaged or incomplete, or there is no room.
    """
    check_name(name)
    check_programs(["qemu-img"])
    _check_facts(source)
    files = {DISK: source.disk, KERNEL: source.kernel, INITRD: source.initrd}
    given = {key: path for key, path in files.items() if path is not None}
    for path in given.values():
        _check_file(path)
    if source.kernel is not None:
        _check_kernel(source.kernel, source.architecture)
    inspect(source.disk)
    with store.locked(say):
        if name in store.names() and not replace:
            raise Conflict(f"there is an image {name} already: give --force to replace it, or another --name")
        check_room(
            store.folder, sum(path.stat().st_size for path in given.values()), f"a copy of {source.disk}"
        )
        with store.staging() as staged:
            say(f"copying {source.disk}")
            digests = {key: _copy(path, staged / key) for key, path in given.items()}
            info = inspect(staged / DISK)  # what was copied, should the source have changed meanwhile
            check(staged / DISK, source.disk, cluster_bytes=int(info["cluster-size"]))
            return store.keep(name, staged, _facts(source, int(info["virtual-size"])), digests)


def inspect(disk: Path) -> dict[str, Any]:
    """Return what qemu-img says of a disk.

    Raises:
        NotSupported: It is no qcow2.
        RunnerFailed: It needs other files, or is damaged.
    """
    info: dict[str, Any] = json.loads(_ask("info", disk, disk))
    if info.get("format") != "qcow2":
        raise NotSupported(
            f"{disk} is no qcow2 ({info.get('format')}): convert it first, by qemu-img convert -O qcow2 {disk} NEW.qcow2"
        )
    details = info.get("format-specific", {}).get("data", {})
    if info.get("backing-filename") or details.get("data-file"):
        needed = info.get("backing-filename") or details.get("data-file")
        raise RunnerFailed(
            f"{disk} is only a part, the rest is in {needed}: flatten it first, by qemu-img convert -O qcow2 {disk} NEW.qcow2"
        )
    if info.get("encrypted"):
        raise NotSupported(f"{disk} is encrypted: decrypt it first, by qemu-img convert")
    if details.get("corrupt"):
        raise RunnerFailed(f"{disk} is marked as damaged: repair it by qemu-img check -r all {disk}")
    return info


def check(disk: Path, shown: Path, *, cluster_bytes: int) -> None:
    """See that a qcow2 is whole.

    Args:
        disk: Which.
        shown: What to call it in the error.
        cluster_bytes: Its unit; the last one need not be there in full.

    Raises:
        RunnerFailed: It is damaged.
    """
    found = json.loads(_ask("check", disk, shown))
    broken = int(found.get("corruptions", 0)) + int(found.get("check-errors", 0))
    size = disk.stat().st_size
    if broken or int(found.get("image-end-offset", 0)) >= size + cluster_bytes:
        raise RunnerFailed(
            f"{shown} is damaged or cut short ({broken} errors, {size:,} bytes of {found.get('image-end-offset', 0):,}): "
            "copy it again from where it came"
        )


def _ask(command: str, disk: Path, shown: Path) -> str:
    asked = [command, "-f", "qcow2"] if command == "check" else [command]
    ran = subprocess.run(
        ["qemu-img", *asked, "--output=json", str(disk)], capture_output=True, text=True, check=False
    )
    if not ran.stdout.strip().startswith("{"):
        said = (ran.stderr.strip().splitlines() or ["it said nothing"])[-1].replace(str(disk), str(shown))
        raise RunnerFailed(f"{shown} cannot be read as a disk: {said.removeprefix('qemu-img: ')}")
    return ran.stdout


def _check_facts(source: Source) -> None:
    if source.kernel is None and (source.initrd or source.append):
        raise RequestInvalid("--initrd and --append belong to a --kernel: name it, or leave them out")
    if source.kernel is not None and source.firmware not in (None, "direct"):
        raise RequestInvalid(
            "a --kernel is booted directly, without firmware: leave out --firmware, or the kernel"
        )
    if source.kernel is None and source.firmware == "direct":
        raise RequestInvalid("firmware direct needs a --kernel: name it, or say bios or uefi")


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise PathNotFound(f"{path} cannot be read: {error.strerror or error}") from error


def _check_kernel(kernel: Path, architecture: str) -> None:
    """See that a kernel is one, and for which processor (Documentation/{x86,arm64}: the magic of its header)."""
    with kernel.open("rb") as file:
        head = file.read(0x210)
    found = "x86_64" if head[0x202:0x206] == b"HdrS" else "aarch64" if head[0x38:0x3C] == b"ARMd" else None
    if found is None:
        raise NotSupported(
            f"{kernel} is no Linux kernel that can be booted directly: a bzImage or an arm64 Image is"
        )
    if found != architecture:
        raise RequestInvalid(
            f"{kernel} is a kernel for {found}, not for {architecture}: say --architecture {found}"
        )


def _copy(source: Path, target: Path) -> str:
    """Copy a file, and return the SHA-256 of what was copied."""
    total = hashlib.sha256()
    try:
        with source.open("rb") as file, target.open("wb") as copy:
            while chunk := file.read(CHUNK_BYTES):
                total.update(chunk)
                if chunk.count(0) == len(chunk):  # a hole stays one
                    copy.seek(len(chunk), 1)
                else:
                    copy.write(chunk)
            copy.truncate(file.tell())
    except OSError as error:
        raise RunnerFailed(
            f"{source} cannot be copied to {target.parent}: {error.strerror or error}"
        ) from error
    return total.hexdigest()


def _facts(source: Source, virtual_bytes: int) -> Facts:
    return Facts(
        os_type=source.os_type,
        architecture=source.architecture,
        firmware=source.firmware or ("direct" if source.kernel else "bios"),
        append=source.append,
        display=source.display,
        user=source.user,
        virtual_bytes=virtual_bytes,
    )
