"""Splits a terminal's output into text and control sequences, whatever the bytes.

Forms follow ECMA-48 and xterm's ctlseqs: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

MAX_PENDING_CHARS = 65_536
"""A string sequence longer than this is dropped: its end no longer matters."""

_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|\x1b\[(?P<mark>[<=>?]?)(?P<params>[0-9;:]*)(?P<csi_middle>[ -/]*)(?P<csi_final>[@-~])"
    r"|\x1b(?P<string>[\]PX^_])(?P<body>[^\x07\x18\x1a\x1b]*)(?:\x07|\x1b\\|(?=[\x18\x1a\x1b]))"
    r"|\x1b(?P<esc_middle>[ -/]*)(?P<esc_final>[0-OQ-WYZ\\`-~])"
    r"|\x1b\[[^@-~\x00-\x1f\x7f-\x9f]*[@-~]?"  # a CSI that says nothing known: dropped
    r"|(?P<control>[\x00-\x1f\x7f-\x9f])"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[ -?]*|[\]PX^_][^\x07\x18\x1a\x1b]*\x1b?|[ -/]*)\Z")


class Kind(Enum):
    """What a token is."""

    TEXT = "text"  # printable characters
    CONTROL = "control"  # one C0 or C1 character
    CSI = "csi"  # ESC [ mark params middle final
    ESCAPE = "escape"  # ESC middle final
    STRING = "string"  # OSC, DCS, APC, PM or SOS; final is its introducer


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of output; for a CSI, ``text`` holds the parameters as written."""

    kind: Kind
    text: str = ""
    final: str = ""
    mark: str = ""
    middle: str = ""


class Parser:
    """Turns chunks of bytes, cut anywhere, into tokens."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""
        self._is_dropping = False

    def feed(self, data: bytes) -> Iterator[Token]:
        """Yield the tokens that ``data`` completes."""
        text = self._pending + self._decoder.decode(data)
        self._pending = ""
        if self._is_dropping:
            text = self._drop(text)
        at = 0
        while at < len(text):
            if text[at] == "\x1b" and _UNFINISHED.match(text, at):
                self._keep(text[at:])
                return
            match = _TOKEN.match(text, at)
            if match is None:  # an ESC before something that no sequence has
                at += 1
                continue
            at = match.end()
            token = _to_token(match)
            if token is not None:
                yield token

    def _keep(self, rest: str) -> None:
        if len(rest) > MAX_PENDING_CHARS:
            self._is_dropping = True
            rest = "\x1b" if rest.endswith("\x1b") else ""
        self._pending = rest

    def _drop(self, text: str) -> str:
        end = re.search(r"[\x07\x18\x1a]|\x1b\\|(?=\x1b[^\\])", text)
        if end is None:
            self._pending = "\x1b" if text.endswith("\x1b") else ""
            return ""
        self._is_dropping = False
        return text[end.end() :]


def _to_token(match: re.Match[str]) -> Token | None:
    if (text := match["text"]) is not None:
        return Token(Kind.TEXT, text)
    if (control := match["control"]) is not None:
        return Token(Kind.CONTROL, control)
    if (final := match["csi_final"]) is not None:
        return Token(Kind.CSI, match["params"], final, match["mark"], match["csi_middle"])
    if (introducer := match["string"]) is not None:
        return Token(Kind.STRING, match["body"], introducer)
    if (final := match["esc_final"]) is not None:
        return Token(Kind.ESCAPE, "", final, "", match["esc_middle"])
    return None


def parse_numbers(params: str) -> list[int]:
    """Return a CSI's numbers: an empty one is 0, sub-parameters are dropped, none is above 9999."""
    return [min(int(part.partition(":")[0][:5] or 0), 9999) for part in params.split(";")] if params else []
