"""Characters as coverage masks of one or two cells, each drawn once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from gym_queue.runners.local.boxes import Mask, draw_box

FONT_SIZE_PX = 16.6
"""The size whose advance is CELL_WIDTH: DejaVu Sans Mono is 0.602 em wide."""
CELL_WIDTH, CELL_HEIGHT = 10, 20
BASELINE = 15
"""Pixels from the cell's top."""
SLANT = 0.2
MAX_GLYPHS = 4096
_UNASSIGNED = "\U0010ffff"


class Glyphs:
    """The vendored DejaVu Sans Mono, rasterised on demand."""

    def __init__(self) -> None:
        fonts = Path(__file__).parent / "fonts"
        self._regular = ImageFont.truetype(str(fonts / "DejaVuSansMono.ttf"), FONT_SIZE_PX)
        self._bold = ImageFont.truetype(str(fonts / "DejaVuSansMono-Bold.ttf"), FONT_SIZE_PX)
        self._cache: dict[tuple[str, int, bool, bool], Mask] = {}
        self._missing = bytes(self._regular.getmask(_UNASSIGNED))

    def mask(self, text: str, cells: int, *, bold: bool = False, italics: bool = False) -> Mask:
        """Return the (20, 10 * cells) mask of one character with its combining marks."""
        key = (text, cells, bold, italics)
        mask = self._cache.get(key)
        if mask is None:
            if len(self._cache) >= MAX_GLYPHS:
                self._cache.clear()
            mask = self._cache[key] = self._draw(text, cells, bold=bold, italics=italics)
        return mask

    def _draw(self, text: str, cells: int, *, bold: bool, italics: bool) -> Mask:
        width = CELL_WIDTH * cells
        box = draw_box(text, width, CELL_HEIGHT) if len(text) == 1 else None
        if box is not None:
            return box
        image = Image.new("L", (width, CELL_HEIGHT))
        draw = ImageDraw.Draw(image)
        font = self._bold if bold else self._regular
        if bytes(font.getmask(text[0])) == self._missing or not text.isprintable():
            draw.rectangle((1, 3, width - 2, CELL_HEIGHT - 4), outline=255)
        else:
            left = (width - font.getlength(text[0])) / 2
            draw.text((max(left, 0), BASELINE), text, fill=255, font=font, anchor="ls")
        if italics:
            shift = (1, SLANT, -SLANT * BASELINE, 0, 1, 0)
            image = image.transform(image.size, Image.Transform.AFFINE, shift, Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8) // 17 * 17  # 16 levels look alike and compress better
