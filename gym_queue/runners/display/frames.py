"""Screens as PNGs; bands of lines that did not change since the last one are not compressed again."""

from __future__ import annotations

import numpy as np

from gym_queue.runners.display.capture import Pixels
from gym_queue.runners.png import Band, assemble, deflate_lines

BAND_LINES = 40
"""Measured at 1280 x 720: fewer lines a band cost more in all, more lines cost more for a small change."""
UP = 2


class FrameEncoder:
    """Makes the PNGs of one screen.

    Args:
        resolution: width, height in pixels.
    """

    def __init__(self, resolution: tuple[int, int]) -> None:
        self._width, self._height = resolution
        self._last = np.zeros((self._height, self._width), np.uint32)
        self._slices = [slice(top, top + BAND_LINES) for top in range(0, self._height, BAND_LINES)]
        self._bands: list[Band | None] = [None] * len(self._slices)
        self._png = b""

    def encode(self, pixels: Pixels) -> bytes:
        """Return the PNG of a screen; the very same object while nothing changes.

        Args:
            pixels: The screen, kept by nobody after the call.
        """
        screen = pixels.view(np.uint32)[..., 0]
        bands: list[Band] = []
        is_new = not self._png
        for lines, band in zip(self._slices, self._bands, strict=True):
            if band is None or not np.array_equal(screen[lines], self._last[lines]):
                self._last[lines] = screen[lines]
                band = compress(pixels[lines])
                is_new = True
            bands.append(band)
        self._bands[:] = bands
        if is_new:
            self._png = assemble(self._width, self._height, bands)
        return self._png


def compress(pixels: Pixels) -> Band:
    """Compress some lines of a screen, each as its difference to the one above.

    Of PNG's filters this one (2, "Up") gives the smallest and fastest deflate of desktops; the first line has none,
    for what is above it belongs to another band.
    """
    height, width, _ = pixels.shape
    lines = np.empty((height, 1 + width * 3), np.uint8)
    colours = lines[:, 1:].reshape(height, width, 3)  # a view
    for channel in range(3):
        colours[..., channel] = pixels[..., 2 - channel]
    lines[1:, 1:] -= lines[:-1, 1:].copy()
    lines[:, 0] = UP
    lines[0, 0] = 0
    return deflate_lines(lines)
