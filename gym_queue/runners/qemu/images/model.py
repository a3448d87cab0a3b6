"""What an image of a virtual machine is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Image:
    """A disk that is only ever read, and all that is needed to boot it."""

    name: str
    digest: str
    """``sha256:`` and 64 hexadecimal digits, of all that a machine sees: disk, kernel, initrd and their options."""
    disk: Path
    """A qcow2 without a backing file."""
    kernel: Path | None
    """Booted directly; None is left to the firmware."""
    initrd: Path | None
    append: str
    """The kernel's options; the machine adds its console."""
    os_type: str
    """linux, windows or android."""
    architecture: str
    """x86_64 or aarch64."""
    firmware: str
    """direct (the kernel above), bios or uefi."""
    display: str
    """X display inside, ``:0``; empty where there is none."""
    user: str
    """The account that is logged in; empty where nobody knows."""
    virtual_bytes: int
    """Size of the disk that the guest sees."""
    disk_bytes: int
    """Size of all files here."""

    @property
    def x_socket(self) -> str:
        """Where the X server inside listens; empty where there is none."""
        number = self.display.rpartition(":")[2].partition(".")[0]
        return f"/tmp/.X11-unix/X{number}" if number else ""  # noqa: S108  inside
