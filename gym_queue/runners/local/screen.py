"""The terminal's state: pyte's Screen with what xterm-256color programs use beside it."""

from __future__ import annotations

import copy
import unicodedata
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Protocol

import pyte
from pyte import charsets
from pyte import modes as mo
from pyte.screens import Margins, StaticDefaultDict
from wcwidth import wcwidth

from gym_queue.runners.local.cell import DEFAULT, Cell

HISTORY_LINES = 2000
Row = tuple[Cell, ...]
Line = StaticDefaultDict[int, Cell]

# Private modes as pyte keeps them: shifted, to be distinguished from ANSI modes.
APP_CURSOR = 1 << 5
MOUSE_X10, MOUSE_CLICKS, MOUSE_DRAGS, MOUSE_MOVES = 9 << 5, 1000 << 5, 1002 << 5, 1003 << 5
MOUSE_SGR = 1006 << 5
BRACKETED_PASTE = 2004 << 5
_ALTERNATE = frozenset({47, 1047, 1049})
_COLUMNS_132 = 3

cell_width: Callable[[str], int] = lru_cache(maxsize=8192)(wcwidth)


class Cursor(Protocol):
    """pyte's cursor, whose pen is a Cell here."""

    x: int
    y: int
    attrs: Cell
    hidden: bool


_PyteScreen: Any = pyte.Screen  # its own types say Char where this one keeps Cells


class TerminalScreen(_PyteScreen):  # type: ignore[misc]
    """A grid of cells with scrollback, an alternate screen, xterm's modes and erasing in colour.

    Args:
        columns: Width of the grid.
        lines: Height of the grid.
        reply: Takes what the terminal answers to programs' questions.
    """

    columns: int
    lines: int
    buffer: dict[int, Line]
    cursor: Cursor
    mode: set[int]
    margins: Margins | None
    tabstops: set[int]
    savepoints: list[Any]

    def __init__(self, columns: int, lines: int, reply: Callable[[str], None]) -> None:
        self._reply = reply
        self.history: deque[Line] = deque(maxlen=HISTORY_LINES)
        self.scrolled_back = 0
        self._main: tuple[dict[int, Line], Cursor] | None = None
        self._cells: dict[str, Cell] = {}
        self._pen = Cell()
        self._last_drawn = ""
        super().__init__(columns, lines)

    @property
    def is_alternate(self) -> bool:
        """Whether the alternate screen (of vi, less, ..) is shown."""
        return self._main is not None

    @property
    def mouse_mode(self) -> int:
        """The strongest mouse mode a program asked for; 0 for none."""
        modes = (MOUSE_MOVES, MOUSE_DRAGS, MOUSE_CLICKS, MOUSE_X10)
        return next((mode for mode in modes if mode in self.mode), 0)

    @property
    def cursor_at(self) -> tuple[int, int] | None:
        """Column and line of the cursor; None when it is hidden or scrolled away."""
        line = self.cursor.y + self.scrolled_back
        if self.cursor.hidden or line >= self.lines:
            return None
        return min(self.cursor.x, self.columns - 1), line

    def rows(self) -> list[Row]:
        """Return the visible lines, each of ``columns`` cells, history included when scrolled back."""
        shown: list[Line] = []
        if self.scrolled_back:
            first = len(self.history) - self.scrolled_back
            shown = [self.history[at] for at in range(first, min(first + self.lines, len(self.history)))]
        shown += [self.buffer[y] for y in range(self.lines - len(shown))]
        columns = range(self.columns)
        return [tuple([line[x] for x in columns]) for line in shown]

    def scroll_history(self, lines: int) -> None:
        """Look ``lines`` further up into the history; negative is down."""
        self.scrolled_back = max(0, min(self.scrolled_back + lines, len(self.history)))

    @property
    def default_char(self) -> Cell:
        return Cell(reverse=mo.DECSCNM in self.mode)

    def reset(self) -> None:
        self._main = None
        self.mode = set()
        super().reset()
        self.mode = {mo.DECAWM, mo.DECTCEM}
        self.cursor.attrs = self.default_char
        self.savepoints = []

    def soft_reset(self) -> None:
        """Put back the modes a program left behind (DECSTR); the main screen and its text stay."""
        self._leave_alternate(restore_cursor=True)
        self.mode = {mo.DECAWM, mo.DECTCEM}
        self.margins = None
        self.cursor.hidden = False
        self.cursor.attrs = self.default_char
        self.charset, self.g0_charset, self.g1_charset = 0, charsets.LAT1_MAP, charsets.VT100_MAP

    def draw(self, data: str) -> None:
        if (self.g1_charset if self.charset else self.g0_charset) is charsets.VT100_MAP:
            data = data.translate(charsets.VT100_MAP)
        if self.cursor.attrs is not self._pen:
            self._pen, self._cells = self.cursor.attrs, {}
        cells, cursor = self._cells, self.cursor
        for char in data:
            width = 1 if " " <= char <= "~" else cell_width(char)
            if width <= 0:
                self._combine(char)
                continue
            if cursor.x + width > self.columns:
                self._wrap(width)
            if mo.IRM in self.mode:
                self.insert_characters(width)
            line = self.buffer[cursor.y]
            self._split_wide(line, cursor.x, width)
            cell = cells.get(char)
            if cell is None:
                cell = cells[char] = self._pen._replace(data=char)
            line[cursor.x] = cell
            if width == 2:
                line[cursor.x + 1] = self._pen._replace(data="")
            cursor.x += width
            self._last_drawn = char

    def repeat(self, count: int = 1) -> None:
        """Draw the last character again (REP)."""
        self.draw(self._last_drawn * min(count or 1, self.columns * self.lines))

    def _wrap(self, width: int) -> None:
        if mo.DECAWM in self.mode:
            self.carriage_return()
            self.index()
        else:
            self.cursor.x = self.columns - width

    def _combine(self, char: str) -> None:
        line, x = self.buffer[self.cursor.y], self.cursor.x - 1
        if x > 0 and line[x].data == "":
            x -= 1
        if x >= 0 and unicodedata.combining(char) and len(line[x].data) < 8:
            line[x] = line[x]._replace(data=unicodedata.normalize("NFC", line[x].data + char))

    @staticmethod
    def _split_wide(line: Line, x: int, width: int) -> None:
        """Blank the other half of a wide character that is about to be half overwritten."""
        if x and line[x].data == "":
            line[x - 1] = line[x - 1]._replace(data=" ")
        if line[x + width].data == "":
            line[x + width] = line[x + width]._replace(data=" ")

    def index(self) -> None:
        top, bottom = self.margins or Margins(0, self.lines - 1)
        if self.cursor.y != bottom:
            self.cursor.y = min(self.cursor.y + 1, self.lines - 1)
            return
        if top == 0 and not self.is_alternate:
            self.history.append(self.buffer[top])
            if self.scrolled_back:
                self.scroll_history(1)  # what is looked at stays where it is
        super().index()
        self._colour_rows(bottom, bottom)

    def reverse_index(self) -> None:
        at_top = self.cursor.y == (self.margins.top if self.margins else 0)
        super().reverse_index()
        if at_top:
            self._colour_rows(self.cursor.y, self.cursor.y)

    def scroll(self, count: int = 1, *, up: bool) -> None:
        """Move the lines within the margins (SU, SD); the cursor stays."""
        top, bottom = self.margins or Margins(0, self.lines - 1)
        x, y = self.cursor.x, self.cursor.y
        self.cursor.y = bottom if up else top
        for _ in range(min(count or 1, self.lines)):
            self.index() if up else self.reverse_index()
        self.cursor.x, self.cursor.y = x, y

    def insert_lines(self, count: int | None = None) -> None:
        super().insert_lines(count)
        bottom = self.margins.bottom if self.margins else self.lines - 1
        self._colour_rows(self.cursor.y, min(self.cursor.y + (count or 1) - 1, bottom))

    def delete_lines(self, count: int | None = None) -> None:
        super().delete_lines(count)
        bottom = self.margins.bottom if self.margins else self.lines - 1
        self._colour_rows(max(self.cursor.y, bottom - (count or 1) + 1), bottom)

    def _colour_rows(self, first: int, last: int) -> None:
        if self.cursor.attrs.bg != DEFAULT:
            for y in range(first, last + 1):
                self._erase(y, range(self.columns))

    def delete_characters(self, count: int | None = None) -> None:
        count = min(count or 1, self.columns - self.cursor.x)
        if count > 0:
            super().delete_characters(count)
            self._erase(self.cursor.y, range(self.columns - count, self.columns))

    def erase_characters(self, count: int | None = None) -> None:
        self._erase(self.cursor.y, range(self.cursor.x, min(self.cursor.x + (count or 1), self.columns)))

    def erase_in_line(self, how: int = 0) -> None:
        spans = (range(self.cursor.x, self.columns), range(self.cursor.x + 1), range(self.columns))
        if how < len(spans):
            self._erase(self.cursor.y, spans[how])

    def erase_in_display(self, how: int = 0) -> None:
        if how == 3:
            self.history.clear()
            self.scrolled_back = 0
            return
        spans = (range(self.cursor.y + 1, self.lines), range(self.cursor.y), range(self.lines))
        if how < len(spans):
            for y in spans[how]:
                self._erase(y, range(self.columns))
            if how < 2:
                self.erase_in_line(how)

    def _erase(self, y: int, columns: Sequence[int]) -> None:
        blank = self.default_char._replace(bg=self.cursor.attrs.bg)
        line = self.buffer[y]
        for x in columns:
            line[x] = blank

    def cursor_to_line(self, line: int | None = None) -> None:
        column = self.cursor.x + 1
        self.cursor_position(line, column)

    def save_cursor(self) -> None:
        self.savepoints = []
        super().save_cursor()

    def restore_cursor(self) -> None:
        saved = list(self.savepoints)
        super().restore_cursor()
        self.cursor.hidden = mo.DECTCEM not in self.mode
        self.savepoints = [saved[0]._replace(cursor=copy.copy(saved[0].cursor))] if saved else []

    def set_mode(self, *modes: int, private: bool = False) -> None:
        for mode in modes:
            if private and mode == _COLUMNS_132:
                self.erase_in_display(2)
                self.cursor_position()
            elif private and mode in _ALTERNATE:
                self._enter_alternate()
            else:
                super().set_mode(mode, private=private)

    def reset_mode(self, *modes: int, private: bool = False) -> None:
        for mode in modes:
            if private and mode in _ALTERNATE:
                self._leave_alternate(restore_cursor=mode == 1049)
            elif not private or mode != _COLUMNS_132:
                super().reset_mode(mode, private=private)

    def _enter_alternate(self) -> None:
        if self._main is None:
            self.scrolled_back = 0
            self._main = self.buffer, copy.copy(self.cursor)
            self.buffer = defaultdict(lambda: StaticDefaultDict(self.default_char))
            self._colour_rows(0, self.lines - 1)

    def _leave_alternate(self, *, restore_cursor: bool) -> None:
        if self._main is not None:
            self.buffer, cursor = self._main
            self._main = None
            if restore_cursor:
                cursor.hidden = self.cursor.hidden
                self.cursor = cursor

    def write_process_input(self, data: str) -> None:
        self._reply(data)
