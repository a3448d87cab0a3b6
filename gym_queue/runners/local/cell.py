"""A character cell, its colours, and how SGR sequences change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

DEFAULT = -1
RGB = 1 << 24
"""Set in a colour that is 24 bits of red, green and blue instead of a number of the 256 colours."""


class Cell(NamedTuple):
    """One cell; the first nine fields are those of pyte's ``Char``."""

    data: str = " "
    """One character with its combining marks; empty in the right half of a wide one."""
    fg: int = DEFAULT
    bg: int = DEFAULT
    bold: bool = False
    italics: bool = False
    underscore: bool = False
    strikethrough: bool = False
    reverse: bool = False
    blink: bool = False
    dim: bool = False
    hidden: bool = False


_FLAGS: Mapping[int, dict[str, Any]] = {
    1: {"bold": True},
    2: {"dim": True},
    3: {"italics": True},
    4: {"underscore": True},
    5: {"blink": True},
    7: {"reverse": True},
    8: {"hidden": True},
    9: {"strikethrough": True},
    21: {"underscore": True},
    22: {"bold": False, "dim": False},
    23: {"italics": False},
    24: {"underscore": False},
    25: {"blink": False},
    27: {"reverse": False},
    28: {"hidden": False},
    29: {"strikethrough": False},
    39: {"fg": DEFAULT},
    49: {"bg": DEFAULT},
}


def apply_sgr(cell: Cell, params: str, blank: Cell) -> Cell:
    """Return the pen after ``CSI params m``.

    Args:
        cell: The pen before.
        params: The parameters as written, with ``;`` and ``:``.
        blank: What 0 resets to.
    """
    parts = params.split(";")
    changes: dict[str, Any] = {}
    at = 0
    while at < len(parts):
        part = parts[at]
        at += 1
        code, _, rest = part.partition(":")
        number = int(code[:5] or 0)
        if number == 0:
            changes = blank._asdict()
        elif number in (38, 48, 58):
            used, colour = _extended(_colon_parts(rest) if rest else parts[at:])
            at += 0 if rest else used
            if colour is not None and number != 58:  # 58 colours the underline: read, not shown
                changes["fg" if number == 38 else "bg"] = colour
        elif number == 4 and rest == "0":
            changes["underscore"] = False
        else:
            changes.update(_FLAGS.get(number) or _ansi(number))
    changes.pop("data", None)
    return cell._replace(**changes)


def _ansi(number: int) -> dict[str, Any]:
    for first, field, colour in ((30, "fg", 0), (40, "bg", 0), (90, "fg", 8), (100, "bg", 8)):
        if first <= number <= first + 7:
            return {field: colour + number - first}
    return {}


def _extended(parts: list[str]) -> tuple[int, int | None]:
    """Read ``5;n`` or ``2;r;g;b``; return how many parts it takes, and the colour if it is one."""
    numbers = [int(part.partition(":")[0][:5] or 0) for part in parts[:4]]
    if numbers[:1] == [5] and len(numbers) >= 2:
        return 2, numbers[1] if numbers[1] < 256 else None
    if numbers[:1] == [2] and len(numbers) == 4:
        red, green, blue = (min(number, 255) for number in numbers[1:])
        return 4, RGB | red << 16 | green << 8 | blue
    return len(numbers), None


def _colon_parts(rest: str) -> list[str]:
    """Split ``2::r:g:b`` (with its empty colour space), ``2:r:g:b`` or ``5:n``."""
    parts = rest.split(":")
    return parts[:1] + parts[2:] if len(parts) >= 5 else parts
