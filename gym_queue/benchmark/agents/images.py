"""Screenshots as models take them: no larger than an API's limits, with coordinates scaled back to the screen."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass

from PIL import Image

Point = tuple[int, int]
Size = tuple[int, int]
Region = tuple[int, int, int, int]


class OffImage(ValueError):
    """A point or region is not on the image that the model was shown."""


@dataclass(frozen=True, slots=True)
class Scale:
    """The screen and the image of it that is sent."""

    screen: Size
    """width, height in pixels."""
    sent: Size
    """width, height in pixels; never larger than the screen."""

    def to_screen(self, point: Point) -> Point:
        """Return the screen's pixel under the middle of an image's pixel.

        Raises:
            OffImage: The point is not on the image.
        """
        width, height = self.sent
        x, y = point
        if not (0 <= x < width and 0 <= y < height):
            raise OffImage(f"the point ({x}, {y}) is off the screen of {width} x {height} pixels")
        return _scaled(x, self.screen[0], width), _scaled(y, self.screen[1], height)

    def to_image(self, point: Point) -> Point:
        """Return the image's pixel of a pixel of the screen."""
        return _scaled(point[0], self.sent[0], self.screen[0]), _scaled(
            point[1], self.sent[1], self.screen[1]
        )


def fit(screen: Size, *, edge_px: int, pixels: int) -> Scale:
    """Return the largest image of the screen's shape within limits; never larger than the screen.

    Args:
        screen: width, height in pixels.
        edge_px: The longest either edge may be.
        pixels: The most pixels there may be.
    """
    width, height = screen
    share = min(1.0, edge_px / max(screen), math.sqrt(pixels / (width * height)))
    return Scale(screen, (max(1, math.floor(width * share)), max(1, math.floor(height * share))))


def encode(png: bytes, scale: Scale) -> str:
    """Return a screenshot as a base64 PNG of the size that is sent."""
    if scale.screen == scale.sent:
        return base64.b64encode(png).decode("ascii")
    with Image.open(io.BytesIO(png)) as image:
        return _encode(image.convert("RGB").resize(scale.sent, Image.Resampling.LANCZOS))


def zoom(png: bytes, scale: Scale, region: Region) -> str:
    """Return a region of the screen as a base64 PNG, as large as the image that is sent has room for.

    Args:
        png: The whole screen.
        scale: How large images are.
        region: left, top, right, bottom in pixels of the image that the model was shown.

    Raises:
        OffImage: The region is empty, or not on the image.
    """
    left, top, right, bottom = region
    width, height = scale.sent
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise OffImage(f"the region {list(region)} is not one of the screen of {width} x {height} pixels")
    across, down = scale.screen[0] / width, scale.screen[1] / height
    box = (left * across, top * down, right * across, bottom * down)
    enlarged = min(width / (right - left), height / (bottom - top))
    size = (max(1, int((right - left) * enlarged)), max(1, int((bottom - top) * enlarged)))
    with Image.open(io.BytesIO(png)) as image:
        return _encode(image.convert("RGB").resize(size, Image.Resampling.LANCZOS, box=box))


def _scaled(value: int, size: int, from_size: int) -> int:
    return min(size - 1, math.floor((value + 0.5) * size / from_size))


def _encode(image: Image.Image) -> str:
    data = io.BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode("ascii")
