"""Characters and key names as the keys of a PC's keyboard with a US layout, by QEMU's names.

Source: QKeyCode of QEMU 7.2 (https://www.qemu.org/docs/master/interop/qemu-qmp-ref.html#qapidoc-QKeyCode).
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass

from gym_queue.runners.display import keysyms
from gym_queue.runners.keynames import MODIFIERS, canonical

SHIFT, CAPS_LOCK = "shift", "caps_lock"


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a character or key is typed."""

    qcode: str
    shift: bool = False


_PLAIN: Mapping[str, str] = {
    " ": "spc", "-": "minus", "=": "equal", "[": "bracket_left", "]": "bracket_right", "\\": "backslash",
    ";": "semicolon", "'": "apostrophe", "`": "grave_accent", ",": "comma", ".": "dot", "/": "slash",
    "\n": "ret", "\r": "ret", "\t": "tab", "\b": "backspace", "\x1b": "esc", "\x7f": "delete",
    **{each: each for each in string.ascii_lowercase + string.digits},
}  # fmt: skip
_SHIFTED: Mapping[str, str] = dict(
    zip('~!@#$%^&*()_+{}|:"<>?', "`1234567890-=[]\\;',./", strict=True),
) | {each.upper(): each for each in string.ascii_lowercase}
"""A character → the one that its key types without shift."""
_KEYS: Mapping[str, str] = {
    "super": "meta_l", "win": "meta_l", "windows": "meta_l", "cmd": "meta_l", "command": "meta_l",
    "superleft": "meta_l", "super_l": "meta_l", "winleft": "meta_l", "super_r": "meta_r",
    "superright": "meta_r", "winright": "meta_r", "shift_l": "shift", "shift_r": "shift_r", "control_l": "ctrl",
    "control_r": "ctrl_r", "alt_l": "alt", "alt_r": "alt_r", "meta_l": "alt", "meta_r": "alt_r", "altgr": "alt_r",
    "iso_level3_shift": "alt_r", "enter": "ret", "tab": "tab", "esc": "esc", "backspace": "backspace",
    "delete": "delete", "insert": "insert", "home": "home", "left": "left", "up": "up", "right": "right",
    "down": "down", "pgup": "pgup", "pgdn": "pgdn", "end": "end", "menu": "compose", "apps": "compose",
    "help": "help", "pause": "pause", "printscreen": "print", "print_screen": "print", "print": "print",
    "prtsc": "print", "prtscr": "print", "capslock": CAPS_LOCK, "caps_lock": CAPS_LOCK, "numlock": "num_lock",
    "num_lock": "num_lock", "scrolllock": "scroll_lock", "scroll_lock": "scroll_lock",
    "multiply": "kp_multiply", "add": "kp_add", "subtract": "kp_subtract", "decimal": "kp_decimal",
    "divide": "kp_divide", "volumedown": "volumedown", "volumemute": "audiomute", "volumeup": "volumeup",
    "playpause": "audioplay", "browserback": "ac_back", "browserforward": "ac_forward",
    **{f"kp_{name}": f"kp_{name}" for name in ("multiply", "add", "subtract", "decimal", "divide")},
    **{f"f{number}": f"f{number}" for number in range(1, 13)},
    **{f"{prefix}{digit}": f"kp_{digit}" for prefix in ("kp_", "num", "numpad") for digit in range(10)},
}  # fmt: skip


def of_character(character: str) -> Stroke | None:
    """Return what types a character, a newline being Enter; None where a US layout has no key for it.

    Raises:
        ActionInvalid: No key of any layout types it: a control character, or half of a surrogate pair.
    """
    keysyms.of_character(character)
    if character in _PLAIN:
        return Stroke(_PLAIN[character])
    if character in _SHIFTED:
        return Stroke(_PLAIN[_SHIFTED[character]], shift=True)
    return None


def of_key(name: str) -> Stroke | None:
    """Return a key by its name; None where a PC's keyboard with a US layout lacks it.

    Raises:
        ActionInvalid: No key has this name.
    """
    keysym = keysyms.of_key(name)
    modifier = MODIFIERS.get(name.lower())
    if modifier is not None:
        return Stroke(modifier)
    key = canonical(name)
    if key in _KEYS:
        return Stroke(_KEYS[key])
    character = key if len(key) == 1 else chr(keysym)  # ``asterisk`` and the like are ASCII's keysyms
    return of_character(character) if ord(character) < 0x7F else None
