"""Box drawing and block elements, drawn to the cell's edges so that neighbours join without gaps."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.uint8]
"""(height, width) coverage, 0-255."""

_ARMS: Mapping[str, tuple[str, ...]] = {
    "LEFT": ("left",),
    "RIGHT": ("right",),
    "UP": ("up",),
    "DOWN": ("down",),
    "HORIZONTAL": ("left", "right"),
    "VERTICAL": ("up", "down"),
}
_WEIGHTS: Mapping[str, str] = {"LIGHT": "light", "SINGLE": "light", "HEAVY": "heavy", "DOUBLE": "double"}
_DASHES: Mapping[str, int] = {"DOUBLE DASH": 2, "TRIPLE DASH": 3, "QUADRUPLE DASH": 4}
_QUADRANTS: Mapping[str, tuple[int, int]] = {
    "UPPER LEFT": (0, 0),
    "UPPER RIGHT": (0, 1),
    "LOWER LEFT": (1, 0),
    "LOWER RIGHT": (1, 1),
}
_EIGHTHS = (
    "ZERO",
    "ONE EIGHTH",
    "ONE QUARTER",
    "THREE EIGHTHS",
    "HALF",
    "FIVE EIGHTHS",
    "THREE QUARTERS",
    "SEVEN EIGHTHS",
)
_SHADES: Mapping[str, int] = {"LIGHT SHADE": 64, "MEDIUM SHADE": 128, "DARK SHADE": 191, "FULL BLOCK": 255}


def draw_box(char: str, width: int, height: int) -> Mask | None:
    """Return the mask of a character of U+2500-259F; None for any other.

    Args:
        char: One character.
        width: Of the cell, pixels.
        height: Of the cell, pixels.
    """
    if not "\u2500" <= char <= "\u259f":
        return None
    name = unicodedata.name(char)
    if name.startswith("BOX DRAWINGS"):
        return _draw_lines(name.removeprefix("BOX DRAWINGS "), width, height)
    return _draw_block(name, width, height)


def parse_arms(name: str) -> dict[str, str]:
    """Return arm (left, right, up, down) → weight (light, heavy, double) of a box drawing's name.

    Weights stand before their arms ("LIGHT LEFT AND HEAVY RIGHT") or after ("DOWN LIGHT AND RIGHT HEAVY"),
    by how the name begins.
    """
    words = name.replace(" ARC", "").split()
    if words[0] not in _WEIGHTS:
        words.reverse()
    arms: dict[str, str] = {}
    weight = "light"
    for word in words:
        weight = _WEIGHTS.get(word, weight)
        arms.update(dict.fromkeys(_ARMS.get(word, ()), weight))
    return arms


def _draw_lines(name: str, width: int, height: int) -> Mask:
    if "DIAGONAL" in name:
        return _draw_diagonals(name, width, height)
    dashes = next((count for words, count in _DASHES.items() if words in name), 0)
    for words in _DASHES:
        name = name.replace(f" {words}", "")
    arms = parse_arms(name)
    mask = np.zeros((height, width), np.uint8)
    for arm, weight in arms.items():
        across = [
            arms.get(side, "") for side in (("up", "down") if arm in ("left", "right") else ("left", "right"))
        ]
        if arm in ("left", "right"):
            _draw_arm(mask, arm == "left", weight, across)
        else:
            _draw_arm(mask.T, arm == "up", weight, across)  # the transpose is a view
    if {"left", "right"} & arms.keys() and {"up", "down"} & arms.keys() and "double" in arms.values():
        _open_double(mask, arms)
    if "ARC" in name:
        _round(mask)
    if dashes:
        _cut(mask if "left" in arms else mask.T, dashes)
    return mask


def _offsets(weight: str, size: int) -> Iterator[tuple[int, int]]:
    """Yield the bands, across the line, that a line of this weight covers."""
    middle = size // 2
    if weight == "double":
        yield middle - 2, middle - 1
        yield middle + 1, middle + 2
    elif weight == "heavy":
        yield middle - 1, middle + 2
    elif weight:
        yield middle, middle + 1


def _draw_arm(mask: Mask, at_start: bool, weight: str, across: list[str]) -> None:  # noqa: FBT001
    height, width = mask.shape
    reach = max((band[1] for side in across for band in _offsets(side, width)), default=width // 2 + 1)
    near = min((band[0] for side in across for band in _offsets(side, width)), default=width // 2)
    for top, bottom in _offsets(weight, height):
        mask[top:bottom, slice(0, reach) if at_start else slice(near, width)] = 255


def _open_double(mask: Mask, arms: dict[str, str]) -> None:
    """Clear the inside of a double line's crossing, where its two strokes bend apart."""
    height, width = mask.shape
    y, x = height // 2, width // 2
    horizontal = "double" in (arms.get("left"), arms.get("right"))
    vertical = "double" in (arms.get("up"), arms.get("down"))
    if horizontal and vertical:
        mask[y - 1 : y + 1, x - 1 : x + 1] = 0
    for side, weight in arms.items():
        if weight == "double" and side in ("left", "right") and vertical:
            mask[y - 1 : y + 1, (slice(0, x) if side == "left" else slice(x, width))] = 0
        if weight == "double" and side in ("up", "down") and horizontal:
            mask[(slice(0, y) if side == "up" else slice(y, height)), x - 1 : x + 1] = 0


def _round(mask: Mask) -> None:
    height, width = mask.shape
    y, x = height // 2, width // 2
    right, down = bool(mask[y, -1]), bool(mask[-1, x])
    mask[y, x] = 0
    step_x, step_y = (1 if right else -1), (1 if down else -1)
    mask[y, x + step_x] = mask[y + step_y, x] = 128
    mask[y + step_y, x + step_x] = 96


def _cut(mask: Mask, dashes: int) -> None:
    width = mask.shape[1]
    for at in range(dashes):
        end = (at + 1) * width // dashes
        mask[:, end - max(1, width // (dashes * 3)) : end] = 0


def _draw_diagonals(name: str, width: int, height: int) -> Mask:
    y, x = np.mgrid[0:height, 0:width]
    slope = height / width
    falling = np.abs((y + 0.5) - (x + 0.5) * slope) / np.hypot(1, slope)
    mask = np.zeros((height, width))
    if "CROSS" in name or "UPPER LEFT TO LOWER RIGHT" in name:
        mask = np.maximum(mask, np.clip(1.2 - falling, 0, 1))
    if "CROSS" in name or "UPPER RIGHT TO LOWER LEFT" in name:
        mask = np.maximum(mask, np.clip(1.2 - falling[:, ::-1], 0, 1))
    return np.asarray(mask * 255, np.uint8)


def _draw_block(name: str, width: int, height: int) -> Mask:
    mask = np.zeros((height, width), np.uint8)
    if name in _SHADES:
        mask[:] = _SHADES[name]
        return mask
    if name.startswith("QUADRANT"):
        for words, (row, column) in _QUADRANTS.items():
            if words in name:
                rows = slice(0, height // 2) if row == 0 else slice(height // 2, height)
                mask[rows, slice(0, width // 2) if column == 0 else slice(width // 2, width)] = 255
        return mask
    side, _, share = name.removesuffix(" BLOCK").partition(" ")
    part = _EIGHTHS.index(share) / 8
    down, across = round(height * part), round(width * part)
    spans = {
        "UPPER": (slice(0, down), slice(None)),
        "LOWER": (slice(height - down, height), slice(None)),
        "LEFT": (slice(None), slice(0, across)),
        "RIGHT": (slice(None), slice(width - across, width)),
    }
    mask[spans[side]] = 255
    return mask
