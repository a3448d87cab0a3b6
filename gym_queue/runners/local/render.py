"""Draws a screen's rows into a PNG of exactly the asked size; a row seen before costs nothing."""

from __future__ import annotations

from collections import OrderedDict
from itertools import groupby

import numpy as np
import numpy.typing as npt

from gym_queue.runners.local.cell import DEFAULT, RGB, Cell
from gym_queue.runners.local.glyphs import BASELINE, CELL_HEIGHT, CELL_WIDTH, Glyphs
from gym_queue.runners.local.screen import Row, TerminalScreen, cell_width
from gym_queue.runners.png import Band, assemble, compress_band

Colour = tuple[int, int, int]
FOREGROUND: Colour = (0xE4, 0xE4, 0xE4)
BACKGROUND: Colour = (0x12, 0x12, 0x12)
_SIXTEEN = (
    "1c1c1c e0463c 3fb950 d7a520 4f8cff c678dd 2fb8c6 d0d0d0"
    " 7a7a7a ff6b62 63dd74 f7cf4a 82b1ff e29bf5 5fdce8 ffffff"
)
_CUBE = (0, 95, 135, 175, 215, 255)
MAX_BANDS = 2048


def grid_of(resolution: tuple[int, int]) -> tuple[int, int]:
    """Return the columns and lines of cells that fit into width, height pixels; at least 2 by 1."""
    return max(2, resolution[0] // CELL_WIDTH), max(1, resolution[1] // CELL_HEIGHT)


def cell_at(x: int, y: int, grid: tuple[int, int]) -> tuple[int, int]:
    """Return the column and line under a pixel; the margins belong to the last ones."""
    return min(x // CELL_WIDTH, grid[0] - 1), min(y // CELL_HEIGHT, grid[1] - 1)


class Renderer:
    """Turns screens into PNGs.

    Args:
        resolution: width, height of the image in pixels.
    """

    def __init__(self, resolution: tuple[int, int]) -> None:
        self._width, self._height = resolution
        self._glyphs = Glyphs()
        self._palette = _palette()
        self._ramps: dict[tuple[Colour, Colour], npt.NDArray[np.uint8]] = {}
        self._bands: OrderedDict[tuple[Row, int | None], Band] = OrderedDict()
        self._last_keys: list[tuple[Row, int | None]] = []
        self._last: tuple[list[Band], bytes] = ([], b"")

    def render(self, screen: TerminalScreen) -> bytes:
        """Return the screen as a PNG; the same bytes object as before when nothing changed."""
        at = screen.cursor_at
        keys = [
            (row, at[0] if at is not None and at[1] == y else None) for y, row in enumerate(screen.rows())
        ]
        last_bands, png = self._last
        if keys == self._last_keys:
            return png
        before: list[tuple[object, Band | None]] = [*zip(self._last_keys, last_bands, strict=True)]
        bands = [
            band if band is not None and key == last_key else self._band(key)
            for key, (last_key, band) in zip(keys, before or [(None, None)] * len(keys), strict=True)
        ]
        png = assemble(self._width, self._height, self._fit(bands))
        self._last_keys, self._last = keys, (bands, png)
        return png

    def _fit(self, bands: list[Band]) -> list[Band]:
        """Add the margin below the last row."""
        left = self._height - len(bands) * CELL_HEIGHT
        if left < 0:  # an image lower than one row
            return [compress_band(self._blank(self._height))]
        return [*bands, compress_band(self._blank(left))] if left else bands

    def _blank(self, height: int) -> npt.NDArray[np.uint8]:
        pixels = np.empty((height, self._width, 3), np.uint8)
        pixels[:] = BACKGROUND
        return pixels

    def _band(self, key: tuple[Row, int | None]) -> Band:
        band = self._bands.get(key)
        if band is None:
            band = self._bands[key] = compress_band(self._draw_row(*key))
            if len(self._bands) > MAX_BANDS:
                self._bands.popitem(last=False)
        else:
            self._bands.move_to_end(key)
        return band

    def _draw_row(self, row: Row, cursor: int | None) -> npt.NDArray[np.uint8]:
        width = len(row) * CELL_WIDTH
        coverage = self._coverage(row, width)
        pixels = np.empty((CELL_HEIGHT, width, 3), np.uint8)
        colours = [self._colours(cell) for cell in row]
        if cursor is not None:
            for x in (
                (cursor, cursor + 1)
                if row[cursor + 1 : cursor + 2] and not row[cursor + 1].data
                else (cursor,)
            ):
                colours[x] = (BACKGROUND, FOREGROUND)
        for pair, run in groupby(range(len(row)), key=colours.__getitem__):
            cells = list(run)
            span = slice(cells[0] * CELL_WIDTH, (cells[-1] + 1) * CELL_WIDTH)
            pixels[:, span] = self._ramp(*pair).take(coverage[:, span], axis=0)
        if width >= self._width:
            return pixels[:, : self._width]
        whole = self._blank(CELL_HEIGHT)
        whole[:, :width] = pixels
        return whole

    def _coverage(self, row: Row, width: int) -> npt.NDArray[np.uint8]:
        coverage = np.zeros((CELL_HEIGHT, width), np.uint8)
        for x, cell in enumerate(row):
            if cell.data not in (" ", "") and not cell.hidden:
                cells = 2 if cell_width(cell.data[0]) == 2 and x + 1 < len(row) else 1
                mask = self._glyphs.mask(cell.data, cells, bold=cell.bold, italics=cell.italics)
                coverage[:, x * CELL_WIDTH : (x + cells) * CELL_WIDTH] = mask
            if cell.underscore:
                coverage[BASELINE + 2, x * CELL_WIDTH : (x + 1) * CELL_WIDTH] = 255
            if cell.strikethrough:
                coverage[BASELINE - 5, x * CELL_WIDTH : (x + 1) * CELL_WIDTH] = 255
        return coverage

    def _colours(self, cell: Cell) -> tuple[Colour, Colour]:
        foreground = FOREGROUND if cell.fg == DEFAULT else self._colour(cell.fg)
        background = BACKGROUND if cell.bg == DEFAULT else self._colour(cell.bg)
        if cell.reverse:
            foreground, background = background, foreground
        if cell.dim:
            foreground = _mix(foreground, background)
        return foreground, background

    def _colour(self, colour: int) -> Colour:
        if colour & RGB:
            return colour >> 16 & 255, colour >> 8 & 255, colour & 255
        return self._palette[colour]

    def _ramp(self, foreground: Colour, background: Colour) -> npt.NDArray[np.uint8]:
        """Return (256, 3): the colour for each coverage."""
        ramp = self._ramps.get((foreground, background))
        if ramp is None:
            if len(self._ramps) > 1024:
                self._ramps.clear()
            share = np.arange(256)[:, None] / 255
            mixed = np.rint(np.array(background) * (1 - share) + np.array(foreground) * share)
            ramp = self._ramps[foreground, background] = mixed.astype(np.uint8)
        return ramp


def _mix(foreground: Colour, background: Colour) -> Colour:
    red, green, blue = ((3 * a + 2 * b) // 5 for a, b in zip(foreground, background, strict=True))
    return red, green, blue


def _palette() -> list[Colour]:
    """Return the 256 colours: sixteen of this terminal's own, then xterm's cube and greys."""
    colours: list[Colour] = []
    for text in _SIXTEEN.split():
        value = int(text, 16)
        colours.append((value >> 16, value >> 8 & 255, value & 255))
    colours += [(red, green, blue) for red in _CUBE for green in _CUBE for blue in _CUBE]
    colours += [(grey, grey, grey) for grey in range(8, 239, 10)]
    return colours


def colour_answer(colour: Colour) -> str:
    """Return a colour as terminals answer OSC 10 and 11."""
    return "rgb:" + "/".join(f"{part:02x}{part:02x}" for part in colour)
