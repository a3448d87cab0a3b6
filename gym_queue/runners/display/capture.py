"""Pixels of the screen, written by the server into memory that it was handed a file descriptor of.

Source: MIT-SHM 1.2 (https://www.x.org/releases/current/doc/xextproto/shm.html), XFixes 4 (fixesproto.txt).
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import sys
from dataclasses import dataclass

import numpy as np

from gym_queue.runners.base import Pixels as Pixels
from gym_queue.runners.display.connection import Connection, Extension, RequestRefused

logger = logging.getLogger(__name__)

_ALL_PLANES = 0xFFFFFFFF
_Z_PIXMAP = 2
_GET_IMAGE = 73
_SHM_VERSION, _SHM_GET_IMAGE, _SHM_ATTACH_FD = 0, 4, 6
_FIXES_VERSION, _FIXES_CURSOR = 0, 4


@dataclass(frozen=True, slots=True)
class Cursor:
    """The pointer's image and where it is."""

    left: int
    top: int
    pixels: Pixels
    """(height, width, 4) uint8: blue, green, red, alpha; colours are multiplied by alpha."""


class Capture:
    """Takes pictures of a server's screen.

    Args:
        connection: The server.
        resolution: width, height in pixels of the part at the top left to take.
    """

    def __init__(self, connection: Connection, resolution: tuple[int, int]) -> None:
        self._connection = connection
        self._width, self._height = resolution
        self._memory, self._request = self._share_memory()
        self._cursor_request = self._ask_for_cursor()

    @property
    def shares_memory(self) -> bool:
        """Whether the server writes into this process's memory; else each image comes over the socket."""
        return self._memory is not None

    def screen(self) -> Pixels:
        """Return the screen as it is now, without the pointer; good until the next call."""
        return self._pixels(self._connection.ask(self._request))

    def with_cursor(self) -> Pixels:
        """Return the screen as it is now with the pointer drawn in; good until the next call."""
        if self._cursor_request is None:
            return self.screen()
        image, cursor = self._connection.ask_all(self._request, self._cursor_request)
        pixels = self._pixels(image)
        draw_cursor(pixels, _parse_cursor(cursor))
        return pixels

    def pointer(self) -> bytes | None:
        """Return what differs whenever the pointer's place or image does; None where the server does not tell."""
        if self._cursor_request is None:
            return None
        return bytes(self._connection.ask(self._cursor_request)[8:])

    def _pixels(self, reply: bytearray) -> Pixels:
        shape = (self._height, self._width, 4)
        if self._memory is not None:
            return np.frombuffer(self._memory, np.uint8, self._height * self._width * 4).reshape(shape)
        return np.frombuffer(reply, np.uint8, self._height * self._width * 4, 32).reshape(shape)

    def _share_memory(self) -> tuple[mmap.mmap | None, bytes]:
        """Return the memory that the server writes to and the request that makes it; no memory where it cannot."""
        root, area = self._connection.screen.root, (0, 0, self._width, self._height)
        extension = self._connection.extension("MIT-SHM")
        if extension is not None and sys.platform == "linux" and self._passes_descriptors(extension):
            segment = self._connection.new_id()
            try:
                memory = self._attach(extension, segment)
            except RequestRefused as error:
                logger.warning("the X server takes no shared memory, images come over its socket: %s", error)
            else:
                request = struct.pack(
                    "<BBHIhhHHIBxxxII",
                    extension.major,
                    _SHM_GET_IMAGE,
                    8,
                    root,
                    *area,
                    _ALL_PLANES,
                    _Z_PIXMAP,
                    segment,
                    0,
                )
                return memory, request
        return None, struct.pack("<BBHIhhHHI", _GET_IMAGE, _Z_PIXMAP, 5, root, *area, _ALL_PLANES)

    def _passes_descriptors(self, extension: Extension) -> bool:
        reply = self._connection.ask(struct.pack("<BBH", extension.major, _SHM_VERSION, 1))
        return struct.unpack_from("<HH", reply, 8) >= (1, 2)

    def _attach(self, extension: Extension, segment: int) -> mmap.mmap:
        size = self._width * self._height * 4
        fd = os.memfd_create("gym-queue-screen", os.MFD_CLOEXEC)
        try:
            os.ftruncate(fd, size)
            request = struct.pack("<BBHIBxxx", extension.major, _SHM_ATTACH_FD, 3, segment, 0)
            self._connection.send(request, fds=[fd])
            self._connection.sync()
            return mmap.mmap(fd, size)
        finally:
            os.close(fd)

    def _ask_for_cursor(self) -> bytes | None:
        extension = self._connection.extension("XFIXES")
        if extension is None:
            logger.warning("the X server has no XFIXES extension: screenshots are without the pointer")
            return None
        self._connection.ask(struct.pack("<BBHII", extension.major, _FIXES_VERSION, 3, 4, 0))
        return struct.pack("<BBH", extension.major, _FIXES_CURSOR, 1)


def draw_cursor(pixels: Pixels, cursor: Cursor) -> None:
    """Draw a pointer into a screen, in place; what lies off the screen is left out."""
    height, width, _ = pixels.shape
    rows, columns, _ = cursor.pixels.shape
    top, left = max(0, cursor.top), max(0, cursor.left)
    bottom, right = min(height, cursor.top + rows), min(width, cursor.left + columns)
    if top >= bottom or left >= right:
        return
    image = cursor.pixels[top - cursor.top : bottom - cursor.top, left - cursor.left : right - cursor.left]
    under = pixels[top:bottom, left:right, :3]
    shine = under.astype(np.uint16) * (255 - image[..., 3:].astype(np.uint16))
    under[:] = np.minimum(image[..., :3] + (shine + 127) // 255, 255)


def _parse_cursor(reply: bytearray) -> Cursor:
    x, y, width, height, hot_x, hot_y = struct.unpack_from("<hhHHHH", reply, 8)
    pixels = np.frombuffer(reply, np.uint8, width * height * 4, 32).reshape(height, width, 4)
    return Cursor(x - hot_x, y - hot_y, pixels)
