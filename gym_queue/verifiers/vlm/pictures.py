"""Screens as a model is shown them: not more, and not larger, than the providers take."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from gym_queue.errors import VerifierFailed
from gym_queue.verifiers.vlm.backends import Picture

MAX_PICTURES = 100
"""The most that one call takes (Anthropic's Messages API)."""
ALL_BYTES = 16 << 20
"""Of all pictures of a call; in base64 a third more, and Gemini takes 20 MB."""
PICTURE_BYTES = 3 << 20
EDGE_PX = 1568
"""Longest side that is not scaled down by the provider (Anthropic, "Vision")."""
SMALLEST_EDGE_PX = 256
MAX_PIXELS = 8192 * 4320
FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


def sample(paths: Sequence[str], count: int) -> list[str]:
    """Return ``count`` of the paths, evenly spaced, first and last included; the last where one is wanted."""
    if len(paths) <= count:
        return list(paths)
    if count == 1:
        return [paths[-1]]
    return [paths[math.floor(i * (len(paths) - 1) / (count - 1))] for i in range(count)]


def show(data: bytes, *, count: int, what: str) -> Picture:
    """Return an image as one of ``count`` that a model is shown: scaled down where it is too large.

    Raises:
        VerifierFailed: It is no image, or one of too many pixels.
    """
    limit = min(PICTURE_BYTES, ALL_BYTES // max(1, count))
    try:
        with Image.open(io.BytesIO(data), formats=list(FORMATS)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise VerifierFailed(f"the image {what} has more than {MAX_PIXELS} pixels: use a smaller one")
            image.load()
            if len(data) <= limit and max(image.size) <= EDGE_PX:
                return Picture(FORMATS[str(image.format)], data)
            return _shrink(image.convert("RGB"), limit, what)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise VerifierFailed(f"the image {what} cannot be read: {error}; replace it") from error


def show_file(path: str, *, count: int) -> Picture:
    """Return an image file as a model is shown it; see ``show``."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise VerifierFailed(f"the image {path} cannot be read: {error.strerror}") from error
    return show(data, count=count, what=path)


def _shrink(image: Image.Image, limit: int, what: str) -> Picture:
    edge = min(EDGE_PX, max(image.size))
    while edge >= min(SMALLEST_EDGE_PX, max(image.size)):
        image.thumbnail((edge, edge))
        encoded = io.BytesIO()
        image.save(encoded, "JPEG", quality=85)
        if encoded.tell() <= limit:
            return Picture("image/jpeg", encoded.getvalue())
        edge = edge * 3 // 4
    raise VerifierFailed(f"the image {what} does not get smaller than {limit} bytes: show fewer")
