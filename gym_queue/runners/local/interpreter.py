"""Carries out a terminal's control sequences on its screen, and answers programs' questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyte import charsets

from gym_queue.runners.local.cell import apply_sgr
from gym_queue.runners.local.parser import Kind, Parser, Token, parse_numbers
from gym_queue.runners.local.screen import TerminalScreen

PRIMARY_ATTRIBUTES = "\x1b[?62;22c"  # a VT220 with ANSI colours
SECONDARY_ATTRIBUTES = "\x1b[>41;354;0c"  # as xterm 354: vi then asks for SGR mouse reports

_CSI: Mapping[str, tuple[str, int]] = {
    "@": ("insert_characters", 1),
    "A": ("cursor_up", 1),
    "B": ("cursor_down", 1),
    "C": ("cursor_forward", 1),
    "D": ("cursor_back", 1),
    "E": ("cursor_down1", 1),
    "F": ("cursor_up1", 1),
    "G": ("cursor_to_column", 1),
    "H": ("cursor_position", 2),
    "J": ("erase_in_display", 1),
    "K": ("erase_in_line", 1),
    "L": ("insert_lines", 1),
    "M": ("delete_lines", 1),
    "P": ("delete_characters", 1),
    "X": ("erase_characters", 1),
    "a": ("cursor_forward", 1),
    "b": ("repeat", 1),
    "d": ("cursor_to_line", 1),
    "e": ("cursor_down", 1),
    "f": ("cursor_position", 2),
    "g": ("clear_tab_stop", 1),
    "r": ("set_margins", 2),
    "s": ("save_cursor", 0),
    "u": ("restore_cursor", 0),
    "`": ("cursor_to_column", 1),
}
"""Final byte of a CSI without a mark → method of the screen, and how many numbers it takes."""

_ESCAPES: Mapping[str, str] = {
    "7": "save_cursor",
    "8": "restore_cursor",
    "D": "index",
    "M": "reverse_index",
    "H": "set_tab_stop",
    "c": "reset",
}
_CONTROLS: Mapping[str, str] = {
    "\b": "backspace",
    "\t": "tab",
    "\n": "linefeed",
    "\v": "linefeed",
    "\f": "linefeed",
    "\r": "carriage_return",
    "\x0e": "shift_out",
    "\x0f": "shift_in",
}


class Interpreter:
    """Feeds a program's output to a screen.

    Args:
        screen: What the output changes.
        reply: Takes the answers to programs' questions.
        colours: The default foreground and background as ``rgb:rr/gg/bb``, for programs that ask.
    """

    def __init__(
        self, screen: TerminalScreen, reply: Callable[[str], None], *, colours: tuple[str, str] = ("", "")
    ) -> None:
        self._screen, self._reply, self._colours = screen, reply, colours
        self._parser = Parser()

    def feed(self, data: bytes) -> None:
        """Carry out what ``data`` says; unknown sequences are skipped."""
        handlers: Mapping[Kind, Callable[[Token], None]] = {
            Kind.TEXT: lambda token: self._screen.draw(token.text),
            Kind.CONTROL: self._control,
            Kind.CSI: self._csi,
            Kind.ESCAPE: self._escape,
            Kind.STRING: self._string,
        }
        for token in self._parser.feed(data):
            handlers[token.kind](token)

    def _call(self, method: str, numbers: list[int]) -> None:
        getattr(self._screen, method)(*numbers)

    def _control(self, token: Token) -> None:
        if token.text in _CONTROLS:
            self._call(_CONTROLS[token.text], [])

    def _escape(self, token: Token) -> None:
        if token.middle in ("(", ")"):
            charset = charsets.VT100_MAP if token.final == "0" else charsets.LAT1_MAP
            setattr(self._screen, "g0_charset" if token.middle == "(" else "g1_charset", charset)
        elif token.middle == "#" and token.final == "8":
            self._screen.alignment_display()
        elif not token.middle and token.final == "E":
            self._screen.carriage_return()
            self._screen.index()
        elif not token.middle and token.final in _ESCAPES:
            self._call(_ESCAPES[token.final], [])

    def _csi(self, token: Token) -> None:
        numbers = parse_numbers(token.text)
        form = token.mark + token.middle
        if form == "" and token.final == "m":
            pen = apply_sgr(self._screen.cursor.attrs, token.text, self._screen.default_char)
            self._screen.cursor.attrs = pen
        elif form == "" and token.final in _CSI:
            method, count = _CSI[token.final]
            self._call(method, numbers[:count])
        elif form in ("", "?") and token.final in "hl":
            change = self._screen.set_mode if token.final == "h" else self._screen.reset_mode
            change(*numbers, private=form == "?")
        elif form == "?" and token.final in "JK":
            method, _ = _CSI[token.final]
            self._call(method, numbers[:1])
        else:
            self._rare_csi(form + token.final, numbers)

    def _rare_csi(self, form: str, numbers: list[int]) -> None:
        first = numbers[0] if numbers else 0
        match form:
            case "S" | "T" if len(numbers) < 2:
                self._screen.scroll(first, up=form == "S")
            case "I" | "Z":
                self._tab(first or 1, forward=form == "I")
            case "!p":
                self._screen.soft_reset()
            case "c" | ">c" if first == 0:
                self._reply(PRIMARY_ATTRIBUTES if form == "c" else SECONDARY_ATTRIBUTES)
            case "n" | "?n":
                self._report(first, form[:-1])
            case "$p" | "?$p":
                is_set = (first << 5 if form == "?$p" else first) in self._screen.mode
                self._reply(f"\x1b[{form[:-2]}{first};{1 if is_set else 2}$y")
            case "t" if first == 18:
                self._reply(f"\x1b[8;{self._screen.lines};{self._screen.columns}t")

    def _report(self, what: int, mark: str) -> None:
        if what == 5:
            self._reply("\x1b[0n")
        elif what == 6:
            column = min(self._screen.cursor.x, self._screen.columns - 1) + 1
            self._reply(f"\x1b[{mark}{self._screen.cursor.y + 1};{column}R")

    def _tab(self, count: int, *, forward: bool) -> None:
        for _ in range(min(count, self._screen.columns)):
            if forward:
                self._screen.tab()
            else:
                stops = (stop for stop in self._screen.tabstops if stop < self._screen.cursor.x)
                self._screen.cursor.x = max(stops, default=0)

    def _string(self, token: Token) -> None:
        number, _, rest = token.text.partition(";")
        if token.final == "]" and rest == "?" and number in ("10", "11"):
            self._reply(f"\x1b]{number};{self._colours[int(number) - 10]}\x1b\\")
        elif token.final == "P" and token.text == "$q q":
            self._reply(
                "\x1bP1$r2 q\x1b\\"
            )  # the cursor is a block; vim takes "unknown" (0$r) for typed keys
