"""The mouse as the reports that programs in the terminal asked for, at the cell under the pointer."""

from __future__ import annotations

from gym_queue.protocol.actions import Buttons, Drag, Mouse, Point
from gym_queue.runners.local.render import cell_at
from gym_queue.runners.local.screen import (
    APP_CURSOR,
    MOUSE_CLICKS,
    MOUSE_DRAGS,
    MOUSE_MOVES,
    MOUSE_SGR,
    MOUSE_X10,
    TerminalScreen,
)

LEFT, MIDDLE, RIGHT, NO_BUTTON = 0, 1, 2, 3
WHEEL_UP, WHEEL_DOWN = 64, 65
MOTION = 32
LINES_PER_CLICK = 3
LEGACY_LIMIT = 223
"""Last column or line that a legacy report can name."""


class Pointer:
    """Where the mouse is and which button is down; turns actions into reports.

    Args:
        screen: Knows which reports the program wants, and scrolls its history when it wants none.
    """

    def __init__(self, screen: TerminalScreen) -> None:
        self._screen = screen
        self._at: Point = (0, 0)
        self._held = NO_BUTTON

    def act(self, mouse: Mouse) -> str:
        """Carry out a mouse action and return what to send to the program; points are on the screen."""
        sent = ""
        if mouse.move is not None:
            sent += self._move(mouse.move)
        for point, button, count in (
            (mouse.left_click, LEFT, 1),
            (mouse.right_click, RIGHT, 1),
            (mouse.double_click, LEFT, 2),
            (mouse.triple_click, LEFT, 3),
            (mouse.middle_click, MIDDLE, 1),
        ):
            if point is not None:
                sent += self._move(point) + (self._press(button) + self._release(button)) * count
        for drag, button in ((mouse.left_click_drag, LEFT), (mouse.right_click_drag, RIGHT)):
            if drag is not None:
                sent += self._drag(drag, button)
        if mouse.buttons is not None:
            sent += self._buttons(mouse.buttons)
        return sent + self._scroll(mouse.scroll or 0)

    def _move(self, point: Point) -> str:
        before, self._at = self._cell(), point
        mode = self._screen.mouse_mode
        if self._cell() == before or not (
            mode == MOUSE_MOVES or (mode == MOUSE_DRAGS and self._held != NO_BUTTON)
        ):
            return ""
        return self._report(self._held + MOTION)

    def _drag(self, drag: Drag, button: int) -> str:
        start, end = drag
        return self._move(start) + self._press(button) + self._move(end) + self._release(button)

    def _buttons(self, buttons: Buttons) -> str:
        sent = ""
        for wanted, change, button in (
            (buttons.left_down, self._press, LEFT),
            (buttons.left_up, self._release, LEFT),
            (buttons.right_down, self._press, RIGHT),
            (buttons.right_up, self._release, RIGHT),
        ):
            if wanted:
                sent += change(button)
        return sent

    def _press(self, button: int) -> str:
        self._held = button
        return self._report(button)

    def _release(self, button: int) -> str:
        self._held = NO_BUTTON
        return "" if self._screen.mouse_mode == MOUSE_X10 else self._report(button, is_release=True)

    def _scroll(self, clicks: int) -> str:
        if self._screen.mouse_mode >= MOUSE_CLICKS:
            return self._report(WHEEL_DOWN if clicks > 0 else WHEEL_UP) * abs(clicks)
        if self._screen.is_alternate:
            key = ("\x1bO" if APP_CURSOR in self._screen.mode else "\x1b[") + ("B" if clicks > 0 else "A")
            return key * LINES_PER_CLICK * abs(clicks)
        self._screen.scroll_history(-clicks * LINES_PER_CLICK)
        return ""

    def _cell(self) -> tuple[int, int]:
        return cell_at(*self._at, (self._screen.columns, self._screen.lines))

    def _report(self, code: int, *, is_release: bool = False) -> str:
        if not self._screen.mouse_mode:
            return ""
        column, line = (place + 1 for place in self._cell())
        if MOUSE_SGR in self._screen.mode:
            return f"\x1b[<{code};{column};{line}{'m' if is_release else 'M'}"
        if max(column, line) > LEGACY_LIMIT:
            return ""
        return "\x1b[M" + "".join(
            chr(32 + part) for part in (NO_BUTTON if is_release else code, column, line)
        )
