"""Images of this host: each in a folder of its content's digest, found by name.

``<folder>/<64 digits>/`` holds ``disk.qcow2``, maybe ``kernel`` and ``initrd``, and ``image.json``; all are read-only.
``<folder>/names/<name>`` is a link to one of these. Both appear whole: they are made beside, and renamed.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pydantic import ValidationError

from gym_queue.errors import RequestInvalid, RunnerFailed
from gym_queue.runners.filelock import hold
from gym_queue.runners.qemu.images.model import Image
from gym_queue.runners.qemu.images.record import (
    DISK,
    INITRD,
    KERNEL,
    Facts,
    FileRecord,
    ImageRecord,
    file_digest,
)
from gym_queue.settings import vm_images_path

logger = logging.getLogger(__name__)

WAITING = "waiting for another build or import on this machine"
RECORD, NAMES, STAGING = "image.json", "names", ".making"
READ_ONLY = 0o444
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
Say = Callable[[str], None]


class ImageStore:
    """The images of a user on this host.

    Args:
        folder: Where they are; None is the user's own.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or vm_images_path()

    def find(self, name: str) -> Image:
        """Return an image that is whole and as it was when it was kept.

        Raises:
            RunnerFailed: There is none of this name, or a file of it is missing or has changed.
        """
        image, record = self._read(name)
        for file in record.files:
            self._check(name, image.disk.with_name(file.name), file)
        return image

    def verify(self, name: str) -> Image:
        """As ``find``, and read every byte."""
        image, record = self._read(name)
        for file in record.files:
            self._check(name, image.disk.with_name(file.name), file, reads=True)
        return image

    def names(self) -> list[str]:
        """Return the names of all images, sorted."""
        folder = self.folder / NAMES
        return sorted(each.name for each in folder.iterdir() if is_name(each.name)) if folder.is_dir() else []

    def list(self) -> list[Image]:
        """Return the images that can be read, by name; a broken one is left out, and logged."""
        found = []
        for name in self.names():
            try:
                found.append(self._read(name)[0])
            except RunnerFailed as error:
                logger.warning("%s", error)
        return found

    def remove(self, name: str) -> None:
        """Take a name away, and the image when it has no other. Machines that run go on.

        Raises:
            RunnerFailed: There is none of this name.
        """
        with self.locked():
            link = self._link(name)
            if not link.is_symlink():
                raise self._missing(name)
            digest = link.readlink().name
            link.unlink()
            self._drop_unnamed(digest)

    @contextmanager
    def locked(self, on_wait: Say = lambda _: None) -> Iterator[None]:
        """Keep others from changing the store.

        Args:
            on_wait: Told, in a sentence, that somebody else holds it.

        Raises:
            RunnerFailed: The folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                self._make_folder()
                stack.enter_context(hold(self.folder / ".lock", on_wait=lambda: on_wait(WAITING)))
            except OSError as error:
                raise RunnerFailed(
                    f"the folder of images {self.folder} cannot be written ({error.strerror}): name another by --image-dir"
                ) from error
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Return an empty folder to make an image in; gone afterwards, and with it what killed builds left.

        The caller holds the lock.

        Raises:
            RunnerFailed: The file system is full, or fails.
        """
        parent = self.folder / STAGING
        try:
            discard(parent)
            parent.mkdir()
            yield Path(tempfile.mkdtemp(dir=parent))
        except OSError as error:
            raise RunnerFailed(
                f"an image cannot be made in {self.folder}: {error.strerror or error}; nothing of it is kept"
            ) from error
        finally:
            discard(parent)

    def keep(self, name: str, staged: Path, facts: Facts, digests: dict[str, str] | None = None) -> Image:
        """Take the files of a folder over as an image, in place of an older one of the name. The caller holds the lock.

        Args:
            name: Its name.
            staged: Holds ``disk.qcow2``, and ``kernel`` and ``initrd`` where the firmware is ``direct``.
            facts: What no file says.
            digests: SHA-256 of files that somebody has computed already, by their names.
        """
        check_name(name)
        known = digests or {}
        for each in (DISK, KERNEL, INITRD):
            if (staged / each).exists():
                (staged / each).chmod(READ_ONLY)
        files = tuple(
            FileRecord.of(staged / each, known.get(each))
            for each in (DISK, KERNEL, INITRD)
            if (staged / each).exists()
        )
        record = ImageRecord(facts=facts, files=files)
        target = self.folder / record.digest
        if not _holds(target, record):  # else machines may run from it
            discard(target)
            (staged / RECORD).write_text(record.model_dump_json(indent=2))
            staged.chmod(0o755)
            self._hand_over(staged, *staged.iterdir())
            staged.rename(target)
        self._point(name, record.digest)
        return self._read(name)[0]

    def _make_folder(self) -> None:
        missing = [each for each in (self.folder, *self.folder.parents) if not each.exists()]
        self.folder.mkdir(parents=True, exist_ok=True)
        for each in reversed(missing):
            _give(each, each.parent)

    def _hand_over(self, *paths: Path) -> None:
        """Give what root made to the folder's owner, whose workers write beside it."""
        for path in (*paths, self.folder / ".lock"):
            _give(path, self.folder)

    def _point(self, name: str, digest: str) -> None:
        link = self._link(name)
        link.parent.mkdir(exist_ok=True)
        before = link.readlink().name if link.is_symlink() else digest
        fresh = link.with_name(f".{name}.new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("..") / digest)
        self._hand_over(link.parent, fresh)
        fresh.replace(link)
        if before != digest:
            self._drop_unnamed(before)

    def _drop_unnamed(self, digest: str) -> None:
        if not any(self._link(name).readlink().name == digest for name in self.names()):
            discard(self.folder / digest)

    def _read(self, name: str) -> tuple[Image, ImageRecord]:
        link = self._link(name)
        if not link.is_symlink():
            raise self._missing(name)
        folder = self.folder / link.readlink().name
        try:
            record = ImageRecord.model_validate_json((folder / RECORD).read_bytes())
        except (OSError, ValidationError) as error:
            raise RunnerFailed(
                f"the image {name} is broken, {folder / RECORD} cannot be read: {_again(name)}"
            ) from error
        return record.image(name, folder), record

    def _check(self, name: str, path: Path, file: FileRecord, *, reads: bool = False) -> None:
        try:
            status = path.stat()
        except OSError as error:
            raise RunnerFailed(f"the image {name} is broken, {path} is gone: {_again(name)}") from error
        if status.st_size == file.size_bytes and status.st_mtime_ns == file.mtime_ns and not reads:
            return
        if status.st_size != file.size_bytes or file_digest(path) != file.sha256:
            raise RunnerFailed(
                f"the image {name} is broken, {path} is not what was kept "
                f"({status.st_size:,} bytes now, {file.size_bytes:,} then): {_again(name)}"
            )
        self._settle_time(path, file)

    def _settle_time(self, path: Path, file: FileRecord) -> None:
        """Give a file that was read and found unchanged its time back, so that it is not read again."""
        try:
            os.utime(path, ns=(file.mtime_ns, file.mtime_ns))
        except PermissionError:
            logger.debug("%s has another time than was kept, and belongs to somebody else", path)

    def _link(self, name: str) -> Path:
        check_name(name)
        return self.folder / NAMES / name

    def _missing(self, name: str) -> RunnerFailed:
        here = ", ".join(self.names()) or "none"
        return RunnerFailed(
            f"there is no VM image {name} in {self.folder} (there are: {here}): {_again(name)}"
        )


def is_name(name: str) -> bool:
    """Return whether an image may be called so."""
    return _NAME.fullmatch(name) is not None


def check_name(name: str) -> None:
    """Raise RequestInvalid where an image may not be called so."""
    if not is_name(name):
        raise RequestInvalid(
            f"{name[:80]!r} is no name of an image: use up to 63 letters, digits, dots, dashes and underscores"
        )


def discard(folder: Path) -> None:
    """Remove a folder, if it is there, so that nobody finds half of it."""
    gone = folder.with_name(f".{folder.name.lstrip('.')}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    if folder.exists():
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _give(path: Path, like: Path) -> None:
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _holds(folder: Path, record: ImageRecord) -> bool:
    """Return whether the very files of a record are in a folder."""
    try:
        same = ImageRecord.model_validate_json((folder / RECORD).read_bytes()).digest == record.digest
        return same and all(file_digest(folder / file.name) == file.sha256 for file in record.files)
    except (OSError, ValidationError):
        return False


def _again(name: str) -> str:
    if name == "debian-x11":
        return f"run gym-anything image build {name} on this machine"
    return f"run gym-anything image import FILE.qcow2 --name {name} on this machine"
