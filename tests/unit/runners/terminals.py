"""A screen fed by bytes, without a pty: what the terminal's unit tests share."""

from __future__ import annotations

from gym_queue.runners.local.interpreter import Interpreter
from gym_queue.runners.local.runner import visible_text
from gym_queue.runners.local.screen import TerminalScreen


class FedScreen:
    """A terminal of 20 by 5 cells whose program is the test."""

    def __init__(self, columns: int = 20, lines: int = 5) -> None:
        self.answers: list[str] = []
        self.screen = TerminalScreen(columns, lines, reply=self.answers.append)
        self._interpreter = Interpreter(self.screen, self.answers.append, colours=("rgb:f", "rgb:b"))

    def feed(self, text: str | bytes) -> FedScreen:
        self._interpreter.feed(text.encode() if isinstance(text, str) else text)
        return self

    @property
    def text(self) -> str:
        return visible_text(self.screen.rows())
