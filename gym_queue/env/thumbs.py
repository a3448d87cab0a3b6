"""Pictures of a screen for people: scaled down and encoded by Pillow, which is imported with the first of them."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Literal

from gym_queue.runners.base import Pixels

if TYPE_CHECKING:
    from PIL.Image import Image

PictureFormat = Literal["jpeg", "png"]
JPEG_QUALITY = 75
PNG_LEVEL = 1


def encode_pixels(pixels: Pixels, width_px: int, kind: PictureFormat) -> bytes:
    """Return a camera's pixels as a file, ``width_px`` wide, or as they are when they are no wider."""
    from PIL import Image

    height, width, _ = pixels.shape
    if width_px >= width:
        return _encode(Image.frombytes("RGB", (width, height), pixels.data, "raw", "BGRX"), kind)
    screen = Image.frombuffer("RGBX", (width, height), pixels, "raw", "RGBX", 0, 1)  # not copied
    small = _scaled(screen, width_px)
    return _encode(Image.frombytes("RGB", small.size, small.tobytes(), "raw", "BGRX"), kind)


def encode_png(png: bytes, width_px: int, kind: PictureFormat) -> bytes:
    """Return a PNG as a file, ``width_px`` wide, or as wide as it is when it is no wider."""
    from PIL import Image

    with Image.open(BytesIO(png), formats=("PNG",)) as screen:
        if width_px < screen.width:
            return _encode(_scaled(screen.convert("RGB"), width_px), kind)
        return png if kind == "png" else _encode(screen.convert("RGB"), kind)


def _scaled(screen: Image, width_px: int) -> Image:
    from PIL import Image

    size = width_px, max(1, round(screen.height * width_px / screen.width))
    return screen.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)  # whole pixels are averaged first


def _encode(picture: Image, kind: PictureFormat) -> bytes:
    written = BytesIO()
    if kind == "jpeg":
        picture.save(written, "JPEG", quality=JPEG_QUALITY, progressive=False)
    else:
        picture.save(written, "PNG", compress_level=PNG_LEVEL)
    return written.getvalue()
