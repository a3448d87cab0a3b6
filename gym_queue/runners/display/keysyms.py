"""Characters and key names as X11 keysyms.

Source: appendix A of the X protocol and keysymdef.h
(https://www.x.org/releases/current/doc/xproto/x11protocol.html#keysym_encoding).
"""

from __future__ import annotations

from collections.abc import Mapping

from gym_queue.errors import ActionInvalid
from gym_queue.runners.keynames import MODIFIERS, canonical

SHIFT, CTRL, ALT, SUPER, CAPS_LOCK = 0xFFE1, 0xFFE3, 0xFFE9, 0xFFEB, 0xFFE5
SECOND_GROUP = 0xFF7E
"""Mode_switch: while it is held, keys give their second group."""
UNICODE = 0x0100_0000
"""Added to the code point of a character beyond Latin-1."""

_MODIFIER_KEYSYMS: Mapping[str, int] = {"shift": SHIFT, "ctrl": CTRL, "alt": ALT}
_KEYS: Mapping[str, int] = {
    "super": SUPER, "win": SUPER, "windows": SUPER, "cmd": SUPER, "command": SUPER, "superleft": SUPER,
    "super_l": SUPER, "winleft": SUPER, "super_r": 0xFFEC, "superright": 0xFFEC, "winright": 0xFFEC,
    "shift_l": SHIFT, "shift_r": 0xFFE2, "control_l": CTRL, "control_r": 0xFFE4, "alt_l": ALT, "alt_r": 0xFFEA,
    "meta_l": 0xFFE7, "meta_r": 0xFFE8, "altgr": 0xFE03, "iso_level3_shift": 0xFE03,
    "enter": 0xFF0D, "tab": 0xFF09, "esc": 0xFF1B, "backspace": 0xFF08, "delete": 0xFFFF, "insert": 0xFF63,
    "home": 0xFF50, "left": 0xFF51, "up": 0xFF52, "right": 0xFF53, "down": 0xFF54, "pgup": 0xFF55,
    "pgdn": 0xFF56, "end": 0xFF57, "menu": 0xFF67, "apps": 0xFF67, "help": 0xFF6A, "pause": 0xFF13,
    "printscreen": 0xFF61, "print_screen": 0xFF61, "print": 0xFF61, "prtsc": 0xFF61, "prtscr": 0xFF61,
    "capslock": CAPS_LOCK, "caps_lock": CAPS_LOCK, "numlock": 0xFF7F, "num_lock": 0xFF7F,
    "scrolllock": 0xFF14, "scroll_lock": 0xFF14, "multiply": 0xFFAA, "add": 0xFFAB, "subtract": 0xFFAD,
    "decimal": 0xFFAE, "divide": 0xFFAF, "kp_multiply": 0xFFAA, "kp_add": 0xFFAB, "kp_subtract": 0xFFAD,
    "kp_decimal": 0xFFAE, "kp_divide": 0xFFAF, "asterisk": 0x2A, "exclam": 0x21, "at": 0x40, "numbersign": 0x23,
    "dollar": 0x24, "percent": 0x25, "asciicircum": 0x5E, "ampersand": 0x26, "parenleft": 0x28,
    "parenright": 0x29, "colon": 0x3A, "less": 0x3C, "greater": 0x3E, "question": 0x3F, "braceleft": 0x7B,
    "bar": 0x7C, "braceright": 0x7D, "asciitilde": 0x7E, "quotedbl": 0x22,
    "volumedown": 0x1008FF11, "volumemute": 0x1008FF12, "volumeup": 0x1008FF13, "playpause": 0x1008FF14,
    "browserback": 0x1008FF26, "browserforward": 0x1008FF27,
    **{f"f{number}": 0xFFBD + number for number in range(1, 36)},
    **{f"{prefix}{digit}": 0xFFB0 + digit for prefix in ("kp_", "num", "numpad") for digit in range(10)},
}  # fmt: skip
_CONTROLS: Mapping[str, int] = {
    "\n": 0xFF0D, "\r": 0xFF0D, "\t": 0xFF09, "\b": 0xFF08, "\x1b": 0xFF1B, "\x7f": 0xFFFF,
}  # fmt: skip


def of_character(character: str) -> int:
    """Return the keysym that types a character; a newline is Enter.

    Raises:
        ActionInvalid: No key types it: a control character, or half of a surrogate pair.
    """
    if character in _CONTROLS:
        return _CONTROLS[character]
    code = ord(character)
    if 0x20 <= code <= 0x7E or 0xA0 <= code <= 0xFF:
        return code
    if code < 0x100 or 0xD800 <= code <= 0xDFFF:
        raise ActionInvalid(f"keyboard.text: no key types U+{code:04X}: use keyboard.keys for a chord")
    return UNICODE + code


def of_key(name: str) -> int:
    """Return the keysym of a key's name.

    Raises:
        ActionInvalid: No key has this name.
    """
    modifier = MODIFIERS.get(name.lower())
    if modifier is not None:
        return _MODIFIER_KEYSYMS[modifier]
    key = canonical(name)
    if len(key) == 1:
        return of_character(key)
    if key not in _KEYS:
        raise ActionInvalid(
            f"keyboard.keys: {name!r} is not a key; known are single characters, ctrl, alt, shift, super, enter, "
            "tab, esc, backspace, delete, up, home, pgup, f1 and the like"
        )
    return _KEYS[key]
