"""Keys and text as the bytes that xterm sends.

Source: "PC-Style Function Keys" of https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gym_queue.errors import ActionInvalid
from gym_queue.runners.keynames import MODIFIERS, canonical, split_chord

SHIFT, ALT, CTRL = 1, 2, 4
_BITS: Mapping[str, int] = {"shift": SHIFT, "alt": ALT, "ctrl": CTRL}

_SIMPLE: Mapping[str, str] = {"enter": "\r", "tab": "\t", "esc": "\x1b", "backspace": "\x7f"}
_CURSOR: Mapping[str, str] = {"up": "A", "down": "B", "right": "C", "left": "D", "home": "H", "end": "F"}
_F1_TO_F4: Mapping[str, str] = {"f1": "P", "f2": "Q", "f3": "R", "f4": "S"}
_NUMBERED: Mapping[str, int] = {
    "insert": 2, "delete": 3, "pgup": 5, "pgdn": 6, "f5": 15, "f6": 17, "f7": 18, "f8": 19,
    "f9": 20, "f10": 21, "f11": 23, "f12": 24,
}  # fmt: skip
_CTRL_SPECIAL: Mapping[str, str] = {
    " ": "\0", "@": "\0", "2": "\0", "[": "\x1b", "3": "\x1b", "\\": "\x1c", "4": "\x1c",
    "]": "\x1d", "5": "\x1d", "^": "\x1e", "6": "\x1e", "_": "\x1f", "/": "\x1f", "-": "\x1f", "7": "\x1f",
    "?": "\x7f", "8": "\x7f", "\x7f": "\b",
}  # fmt: skip


def encode_text(text: str) -> bytes:
    """Return typed text: a newline is Enter."""
    return text.replace("\r\n", "\r").replace("\n", "\r").encode(errors="replace")


def encode_keys(keys: str | Sequence[str], *, application_cursor: bool = False) -> bytes:
    """Return what one chord sends.

    Args:
        keys: ``["ctrl", "s"]``, ``"ctrl+s"`` or one key's name.
        application_cursor: Whether the program switched the arrow keys (DECCKM).

    Raises:
        ActionInvalid: A name is not a key of a terminal.
    """
    modifiers = 0
    pressed = []
    for name in split_chord(keys):
        modifier = MODIFIERS.get(name.lower())
        if modifier is None:
            pressed.append(name)
        else:
            modifiers |= _BITS[modifier]
    sent = "".join(_encode(name, modifiers, application_cursor=application_cursor) for name in pressed)
    return sent.encode(errors="replace")


def _encode(name: str, modifiers: int, *, application_cursor: bool) -> str:
    key = canonical(name)
    if key in _CURSOR or key in _F1_TO_F4:
        final = _CURSOR.get(key) or _F1_TO_F4[key]
        if modifiers:
            return f"\x1b[1;{modifiers + 1}{final}"
        return ("\x1bO" if key in _F1_TO_F4 or application_cursor else "\x1b[") + final
    if key in _NUMBERED:
        return f"\x1b[{_NUMBERED[key]};{modifiers + 1}~" if modifiers else f"\x1b[{_NUMBERED[key]}~"
    if key == "tab" and modifiers & SHIFT:
        return "\x1b[Z"
    char = _SIMPLE.get(key, key)
    if len(char) != 1:
        raise ActionInvalid(
            f"keyboard.keys: {name!r} is not a key of a terminal; known are single characters, ctrl, alt, "
            "shift, enter, tab, esc, backspace, delete, up, home, pgup, f1 and the like"
        )
    return _with_modifiers(char, modifiers)


def _with_modifiers(char: str, modifiers: int) -> str:
    if modifiers & SHIFT and char.isalpha():
        char = char.upper() if len(char.upper()) == 1 else char
    if modifiers & CTRL:
        is_letter = "a" <= char.lower() <= "z"
        char = chr(ord(char.lower()) & 0x1F) if is_letter else _CTRL_SPECIAL.get(char, char)
    return "\x1b" + char if modifiers & ALT else char
