"""The first program of a machine, and the kernel's modules that it loads, as the archive that a kernel unpacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gym_queue.runners.qemu.images.programs import find_program

ROOT_MODULES = ("crc32c_generic", "crc32c_intel", "ext4", "virtio_pci", "virtio_blk")
"""What must be there before the root file system is."""
_DIRECTORY, _PROGRAM, _FILE = 0o40755, 0o100755, 0o100644


def make_initrd(root: Path, kernel_version: str, init: bytes) -> bytes:
    """Return an initrd; of the same files it is the same bytes.

    Args:
        root: The system that it boots: its modules are taken, and its static busybox.
        kernel_version: The folder of the modules.
        init: The first program.

    Raises:
        CalledProcessError: A module is not there.
    """
    entries: list[tuple[str, int, bytes]] = [
        (name, _DIRECTORY, b"") for name in ("bin", "dev", "modules", "proc", "root")
    ]
    modules = [root / path.lstrip("/") for path in _in_order(root, kernel_version)]
    entries += [(f"modules/{path.name}", _FILE, path.read_bytes()) for path in modules]
    entries += [
        ("modules/order", _FILE, "".join(f"{path.name}\n" for path in modules).encode()),
        ("bin/busybox", _PROGRAM, (root / "bin" / "busybox").read_bytes()),
        ("init", _PROGRAM, init),
        ("TRAILER!!!", 0, b""),
    ]
    return b"".join(_entry(number, *each) for number, each in enumerate(entries, 1))


def _in_order(root: Path, kernel_version: str) -> list[str]:
    """Return the modules' paths in the system, each after those that it needs."""
    command = [
        find_program("chroot") or "chroot",
        str(root),
        "modprobe",
        "--set-version",
        kernel_version,
        "--show-depends",
        "--all",
    ]
    shown = subprocess.run([*command, *ROOT_MODULES], check=True, capture_output=True, text=True).stdout
    paths = (line.split()[1] for line in shown.splitlines() if line.startswith("insmod "))
    return list(dict.fromkeys(paths))


def _entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    """Return one file in the format that the kernel documents as newc (Documentation/driver-api/early-userspace)."""
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields) + path
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
