"""The key names that actions may use, whatever device they are for, and how a chord is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MODIFIERS: Mapping[str, str] = {
    "shift": "shift", "lshift": "shift", "rshift": "shift", "shiftleft": "shift", "shiftright": "shift",
    "ctrl": "ctrl", "control": "ctrl", "lctrl": "ctrl", "rctrl": "ctrl", "ctrlleft": "ctrl", "ctrlright": "ctrl",
    "alt": "alt", "lalt": "alt", "ralt": "alt", "altleft": "alt", "altright": "alt", "option": "alt", "meta": "alt",
}  # fmt: skip
"""A modifier's names → the one it is known by here."""

_ALIASES: Mapping[str, str] = {
    "return": "enter", "kp_enter": "enter", "escape": "esc", "del": "delete", "ins": "insert",
    "pageup": "pgup", "page_up": "pgup", "prior": "pgup", "pagedown": "pgdn", "page_down": "pgdn",
    "pgdown": "pgdn", "next": "pgdn", "arrowup": "up", "arrowdown": "down", "arrowleft": "left",
    "arrowright": "right", "bksp": "backspace", "back_space": "backspace", "spacebar": "space",
}  # fmt: skip
_CHARACTERS: Mapping[str, str] = {
    "space": " ", "plus": "+", "minus": "-", "equal": "=", "comma": ",", "period": ".", "slash": "/",
    "backslash": "\\", "semicolon": ";", "apostrophe": "'", "grave": "`", "bracketleft": "[",
    "bracketright": "]", "underscore": "_",
}  # fmt: skip


def split_chord(keys: str | Sequence[str]) -> list[str]:
    """Return the names of a chord's keys.

    Args:
        keys: ``["ctrl", "s"]``, ``"ctrl+s"`` or one key's name; ``+`` and ``ctrl++`` mean the plus key.
    """
    return [name for key in ([keys] if isinstance(keys, str) else keys) for name in _split(key)]


def canonical(name: str) -> str:
    """Return a key's one name: a character as it is, ``enter`` for ``Return``, ``pgup`` for ``Page_Up``, .."""
    key = name if len(name) == 1 else _ALIASES.get(name.lower(), name.lower())
    return _CHARACTERS.get(key, key)


def as_key(name: str) -> str:
    """Return a chord's letter as the key it is on: ctrl+S is what people call control S, not control shift S."""
    return name.lower() if len(name) == len(name.lower()) == 1 else name


def _split(key: str) -> list[str]:
    if len(key) < 2 or "+" not in key:
        return [key]
    head, _, last = key.rpartition("+")
    if not last:
        return [*_split(head.removesuffix("+")), "+"] if head.removesuffix("+") else ["+"]
    return [*_split(head), last]
