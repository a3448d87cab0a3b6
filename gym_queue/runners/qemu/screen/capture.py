"""Pixels of a machine's screen, which QEMU writes into a file without a name that it was handed a descriptor of.

QEMU reads the video memory at the moment it is asked, so a picture is never an older one, as an RFB server's may be.
Measured at 1280 x 720 under TCG: 5 ms into memory, 15 ms into a file on disk; as a PNG of QEMU's own 150 ms.
"""

from __future__ import annotations

import logging
import os
import re
import tempfile
import threading

import numpy as np

from gym_queue.errors import RunnerFailed
from gym_queue.runners.base import Pixels
from gym_queue.runners.display.settle import TILE_PX, Tile
from gym_queue.runners.qemu.qmp import Qmp

logger = logging.getLogger(__name__)

FORGET_TIMEOUT_S = 1.0
RGB = 3
"""Bytes of a pixel in a dump."""
MAX_SIDE_PX = 16384
"""More than any device of QEMU shows."""
_HEAD = re.compile(rb"P6\n(\d{1,5}) (\d{1,5})\n255\n")
_HEAD_BYTES = 20


class Capture:
    """Takes pictures of one machine's screen. Used by one thread at a time; ``close`` by any.

    Args:
        qmp: The machine's monitor.
        resolution: width, height in pixels of the pictures. A screen that is larger is cut at the right and below,
            a smaller one is padded with black there.

    Raises:
        RunnerFailed: The machine is gone, or has no screen.
    """

    def __init__(self, qmp: Qmp, resolution: tuple[int, int]) -> None:
        self._qmp = qmp
        self._resolution = resolution
        self._readable, self._writable = _open_nameless()
        self._taking = threading.Lock()
        self._is_closed = False
        self._size = (0, 0)
        self._tiles: set[Tile] = set()
        """Where it has changed since the last picture that was taken whole."""
        self._rgb = self._band = np.zeros((0, 0), np.uint8)
        self._pixels = np.zeros((resolution[1], resolution[0], 4), np.uint8)
        try:
            self._number = qmp.ask("add-fd", fds=[self._writable])["fdset-id"]
            self.refresh()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> tuple[int, int]:
        """width, height in pixels of the machine's own screen, as of the last picture."""
        return self._size

    @property
    def pixels(self) -> Pixels:
        """The last picture, good until the next ``refresh``."""
        return self._pixels

    def refresh(self) -> set[Tile]:
        """Take a picture of the screen as it is now, the pointer in it; return where it differs from the last."""
        with self._taking:
            try:
                if self._is_closed:
                    raise RunnerFailed("the environment was closed: create a new one")
                return self._take()
            finally:
                if self._is_closed:
                    self._free()

    def forget(self) -> None:
        """Have QEMU close its end, before ``close``, where the machine runs on; not while a picture is taken."""
        if self._taking.acquire(blocking=False):
            try:
                self._qmp.ask("remove-fd", timeout_s=FORGET_TIMEOUT_S, fdset_id=self._number)
            except RunnerFailed as error:  # what is gone holds no descriptor
                logger.debug("the monitor keeps a picture: %s", error)
            finally:
                self._taking.release()

    def close(self) -> None:
        """Let go of what the pictures are written to. Safe to call twice, and while another thread takes one."""
        self._is_closed = True
        if self._taking.acquire(blocking=False):
            self._free()
            self._taking.release()

    def _take(self) -> set[Tile]:
        os.lseek(self._writable, 0, os.SEEK_SET)
        self._qmp.ask("screendump", filename=f"/dev/fdset/{self._number}")
        head = self._read_head()
        size = int(head[1]), int(head[2])
        if size != self._size:
            self._resize(size)
        for top in range(0, len(self._rgb), TILE_PX):
            self._take_band(top, head.end() + top * size[0] * RGB)
        tiles, self._tiles = self._tiles, set()
        return tiles

    def _take_band(self, top: int, offset: int) -> None:
        """Read the lines of a row of tiles."""
        last = self._rgb[top : top + TILE_PX]
        band = self._band[: len(last)]
        if os.preadv(self._readable, [band.data], offset) != band.nbytes:
            raise RunnerFailed(
                "the virtual machine's monitor gives half a picture: is the host out of memory?"
            )
        differs = band != last
        if not differs.any():
            return
        last[:] = band
        width = min(self._size[0], self._resolution[0])
        shown = self._pixels[top : top + len(last), :width]
        colours = last.reshape(len(last), self._size[0], RGB)[:, :width]
        for channel in range(RGB):
            shown[..., 2 - channel] = colours[..., channel]
        columns = np.flatnonzero(differs[:, : width * RGB].any(axis=0)) // (RGB * TILE_PX)
        self._tiles.update((top // TILE_PX, column) for column in columns.tolist())

    def _free(self) -> None:
        for descriptor in (self._readable, self._writable):
            if descriptor >= 0:
                os.close(descriptor)
        self._readable = self._writable = -1

    def _read_head(self) -> re.Match[bytes]:
        head = _HEAD.match(os.pread(self._readable, _HEAD_BYTES, 0))
        if head is None or not all(0 < int(side) <= MAX_SIDE_PX for side in head.groups()):
            raise RunnerFailed("the virtual machine's monitor gives no picture of 24 bits: is it QEMU's own?")
        return head

    def _resize(self, size: tuple[int, int]) -> None:
        """Begin a black picture of a screen of another size, which is new everywhere."""
        self._size = size
        self._pixels[:] = 0
        self._rgb = np.zeros((min(size[1], self._resolution[1]), size[0] * RGB), np.uint8)
        self._band = np.empty((TILE_PX, size[0] * RGB), np.uint8)
        width, height = self._resolution
        rows, columns = -(-height // TILE_PX), -(-width // TILE_PX)
        self._tiles.update((row, column) for row in range(rows) for column in range(columns))


class ScreenWatch:
    """Sees what changes on the screen from look to look.

    Args:
        capture: Takes the pictures.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._changed: set[Tile] = set()

    def refresh(self) -> None:
        """Take a picture that is no look."""
        self._changed |= self._capture.refresh()

    def look(self) -> set[Tile]:
        """Return where the screen has changed since the last look."""
        self.refresh()
        tiles, self._changed = self._changed, set()
        return tiles


def _open_nameless() -> tuple[int, int]:
    """Return two descriptors of a file without a name: one to read, and one that only writes, as QEMU wants it."""
    if hasattr(os, "memfd_create"):
        readable = os.memfd_create("gym-queue-screen", os.MFD_CLOEXEC)
        try:
            return readable, os.open(f"/proc/self/fd/{readable}", os.O_WRONLY | os.O_CLOEXEC)
        except BaseException:
            os.close(readable)
            raise
    with tempfile.NamedTemporaryFile(prefix="gym-queue-screen-") as file:
        readable = os.open(file.name, os.O_RDONLY | os.O_CLOEXEC)
        return readable, os.open(file.name, os.O_WRONLY | os.O_CLOEXEC)
