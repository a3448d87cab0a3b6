"""What is written down beside an image."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from gym_queue.runners.qemu.images.model import Image

DISK, KERNEL, INITRD = "disk.qcow2", "kernel", "initrd"
OsType = Literal["linux", "windows", "android"]
Architecture = Literal["x86_64", "aarch64"]
Firmware = Literal["direct", "bios", "uefi"]


class Facts(BaseModel):
    """What the files of an image do not say."""

    model_config = ConfigDict(frozen=True)

    os_type: OsType = "linux"
    architecture: Architecture = "x86_64"
    firmware: Firmware = "bios"
    append: str = ""
    """The kernel's options."""
    display: str = ""
    """X display inside."""
    user: str = ""
    """The account that is logged in."""
    virtual_bytes: int
    """Size of the disk that the guest sees."""


class FileRecord(BaseModel):
    """One file of an image, as it was kept."""

    model_config = ConfigDict(frozen=True)

    name: str
    size_bytes: int
    mtime_ns: int
    sha256: str

    @classmethod
    def of(cls, path: Path, sha256: str | None = None) -> FileRecord:
        """Return a file's record.

        Args:
            path: The file.
            sha256: Its digest, where it is known.
        """
        status = path.stat()
        return cls(
            name=path.name,
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            sha256=sha256 or file_digest(path),
        )


class ImageRecord(BaseModel):
    """An image without its name."""

    model_config = ConfigDict(frozen=True)

    facts: Facts
    files: tuple[FileRecord, ...]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, of all that a machine sees."""
        seen = [*((file.name, file.sha256) for file in self.files), self.facts.append, self.facts.firmware]
        return hashlib.sha256(json.dumps([*seen, self.facts.architecture]).encode()).hexdigest()

    def image(self, name: str, folder: Path) -> Image:
        """Return the image whose files are in a folder."""
        paths = {file.name: folder / file.name for file in self.files}
        facts = self.facts.model_dump()
        return Image(
            name=name,
            digest=f"sha256:{self.digest}",
            disk=folder / DISK,
            kernel=paths.get(KERNEL),
            initrd=paths.get(INITRD),
            disk_bytes=sum(file.size_bytes for file in self.files),
            **facts,
        )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
