"""What a terminal sends when keys are pressed, as an environment's keyboard actions.

Source: "PC-Style Function Keys" of https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from typing import Any

_SEQUENCE = re.compile(r"\x1b\[([\d;?]*)([A-Za-z~])|\x1bO([A-Za-z])|\x1b([^\x1b\[O\x00-\x1f])", re.DOTALL)
_UNFINISHED = re.compile(r"\x1b(?:\[[\d;?]*|O)?\Z")
_FINALS: Mapping[str, str] = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end",
    "P": "f1", "Q": "f2", "R": "f3", "S": "f4",
}  # fmt: skip
_NUMBERED: Mapping[str, str] = {
    "1": "home", "2": "insert", "3": "delete", "4": "end", "5": "pgup", "6": "pgdn", "7": "home", "8": "end",
    "11": "f1", "12": "f2", "13": "f3", "14": "f4", "15": "f5", "17": "f6", "18": "f7", "19": "f8", "20": "f9",
    "21": "f10", "23": "f11", "24": "f12",
}  # fmt: skip
_CONTROLS: Mapping[str, tuple[str, ...]] = {
    "\r": ("enter",), "\t": ("tab",), "\x7f": ("backspace",), "\x1b": ("esc",), "\0": ("ctrl", "space"),
    "\x1c": ("ctrl", "\\"), "\x1d": ("ctrl", "]"), "\x1e": ("ctrl", "^"), "\x1f": ("ctrl", "_"),
}  # fmt: skip
_MODIFIERS = ("shift", "alt", "ctrl")
"""By the bits of a sequence's second number, less one."""

KeyAction = dict[str, Any]


class KeyReader:
    """Turns a terminal's bytes into actions; what is unfinished waits for the rest."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._left = ""

    @property
    def is_waiting(self) -> bool:
        """Whether something came that may be the beginning of more: an Escape."""
        return bool(self._left)

    def read(self, data: bytes) -> list[KeyAction]:
        """Return the actions of all that came, as far as it is whole."""
        text = self._left + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._left = unfinished[0] if unfinished else ""
        return list(_actions(text[: len(text) - len(self._left)]))

    def flush(self) -> list[KeyAction]:
        """Return what waited and was not followed by anything: the Escape key itself."""
        text, self._left = self._left, ""
        return list(_actions(text))


def _actions(text: str) -> Iterator[KeyAction]:
    at = 0
    while at < len(text):
        sequence = _SEQUENCE.match(text, at)
        if sequence is not None:
            at = sequence.end()
            keys = _named(sequence)
            if keys:
                yield _chord(keys)
            continue
        run = re.compile(r"[^\x00-\x1f\x7f]+").match(text, at)
        if run is not None:
            at = run.end()
            yield {"keyboard": {"text": run[0]}}
            continue
        yield _chord(_control(text[at]))
        at += 1


def _named(sequence: re.Match[str]) -> tuple[str, ...]:
    """Return the keys of an escape sequence; none for one that is no key's."""
    parameters, final, short, alone = sequence.groups()
    if alone is not None:
        return ("alt", *(("backspace",) if alone == "\x7f" else (alone,)))
    if short is not None:
        return (_FINALS[short],) if short in _FINALS else ()
    if final == "Z":
        return ("shift", "tab")
    number, _, modifier = parameters.partition(";")
    name = _NUMBERED.get(number) if final == "~" else _FINALS.get(final)
    if name is None:
        return ()
    bits = int(modifier) - 1 if modifier.isdecimal() else 0
    return (*(each for bit, each in enumerate(_MODIFIERS) if bits >> bit & 1), name)


def _control(char: str) -> tuple[str, ...]:
    return _CONTROLS.get(char) or ("ctrl", chr(ord(char) | 0x60))


def _chord(keys: tuple[str, ...]) -> KeyAction:
    return {"keyboard": {"keys": list(keys)}}
