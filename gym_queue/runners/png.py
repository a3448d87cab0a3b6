"""A PNG made of horizontal bands that are compressed apart, so an unchanged band is never compressed again.

Each band is raw deflate data that ends at a byte boundary (Z_FULL_FLUSH: no reference to what came before),
so bands can be joined in any order into one zlib stream (RFC 1950, RFC 1951); its checksum is put together as
zlib's adler32_combine does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

try:
    from isal import isal_zlib as deflate  # ten times as fast, a twentieth larger
except ImportError:  # not made for every processor
    import zlib as deflate  # type: ignore[no-redef]

COMPRESS_LEVEL = 1
_ADLER_BASE = 65521


@dataclass(frozen=True, slots=True)
class Band:
    """Some whole lines of an image, compressed."""

    deflated: bytes
    adler: int
    size_bytes: int


def compress_band(pixels: npt.NDArray[np.uint8]) -> Band:
    """Compress some lines.

    Args:
        pixels: (height, width, 3) uint8 RGB.
    """
    height, width, _ = pixels.shape
    lines = np.zeros(
        (height, 1 + width * 3), np.uint8
    )  # filter 0: for text, smaller and faster than Sub or Up
    lines[:, 1:] = pixels.reshape(height, width * 3)
    raw = lines.tobytes()
    compressor = zlib.compressobj(
        COMPRESS_LEVEL, zlib.DEFLATED, -15
    )  # isal's bytes may differ from run to run
    return Band(compressor.compress(raw) + compressor.flush(zlib.Z_FULL_FLUSH), zlib.adler32(raw), len(raw))


def deflate_lines(lines: npt.NDArray[np.uint8]) -> Band:
    """Compress lines as PNG has them, as fast as this machine can; equal lines may give different bytes.

    Args:
        lines: (height, 1 + width * 3) uint8, contiguous: the number of a filter, then what it made of the colours.
    """
    compressor = deflate.compressobj(COMPRESS_LEVEL, deflate.DEFLATED, -15)
    deflated = compressor.compress(lines.data) + compressor.flush(deflate.Z_FULL_FLUSH)
    return Band(deflated, deflate.adler32(lines.data), lines.size)


def assemble(width: int, height: int, bands: Iterable[Band]) -> bytes:
    """Return the PNG of an image, its bands given from top to bottom."""
    parts = [b"\x78\x01"]
    adler = 1
    for band in bands:
        parts.append(band.deflated)
        adler = _combine(adler, band.adler, band.size_bytes)
    parts.append(b"\x03\x00" + struct.pack(">I", adler))  # an empty last block
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = (_chunk(b"IHDR", header), _chunk(b"IDAT", b"".join(parts)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return (
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", deflate.crc32(data, deflate.crc32(kind)))
    )


def _combine(first: int, second: int, second_size: int) -> int:
    """Return the Adler-32 of two pieces joined; zlib's adler32_combine."""
    low = ((first & 0xFFFF) + (second & 0xFFFF) - 1) % _ADLER_BASE
    high = ((first >> 16) + (second >> 16) + second_size * ((first & 0xFFFF) - 1)) % _ADLER_BASE
    return high << 16 | low
