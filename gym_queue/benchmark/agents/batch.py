"""A model's calls, carried out in order: as far as a look, or to the first that fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from gym_queue.benchmark.agents.hand import Action, BadCall
from gym_queue.benchmark.agents.images import OffImage, Region, Scale, zoom
from gym_queue.protocol.observations import Screen
from gym_queue.protocol.sessions import MAX_ACTIONS

HALTED = "Not executed: an earlier computer action in this turn failed."

C = TypeVar("C")


@dataclass(frozen=True, slots=True)
class Deed:
    """What one call comes to."""

    actions: Sequence[Action] = ()
    text: str = "OK"
    """The answer, beside what is seen."""
    is_look: bool = False
    """The answer is the screen after all actions so far."""
    region: Region | None = None
    """With ``is_look``: this part of the screen alone."""


@dataclass(slots=True)
class Answer(Generic[C]):
    """What a call is answered."""

    call: C
    deed: Deed = field(default_factory=Deed)
    error: str | None = None
    image: str | None = None
    """What a look saw, as base64 PNG."""

    @property
    def is_screen(self) -> bool:
        """Whether the answer holds the whole screen."""
        return self.image is not None and self.deed.region is None


class Batch(Generic[C]):
    """The calls of one of a model's answers.

    Args:
        calls: In order.
        translate: Says what a call comes to; raises BadCall.
        scale: How large images are.
    """

    def __init__(self, calls: Sequence[C], translate: Callable[[C], Deed], scale: Scale) -> None:
        self._waiting = deque(calls)
        self._translate, self._scale = translate, scale
        self._has_failed = False
        self._fresh: list[Answer[C]] = []
        self.answers: list[Answer[C]] = []
        """Of the calls so far, in order."""

    @property
    def is_done(self) -> bool:
        """Whether every call is answered."""
        return not self._waiting

    def go_on(self) -> list[Action]:
        """Return the next step's actions: up to the next look that has calls after it."""
        actions: list[Action] = []
        self._fresh = []
        while self._waiting:
            answer = self._answer(self._waiting[0])
            if actions and len(actions) + len(answer.deed.actions) > MAX_ACTIONS:
                break
            self._waiting.popleft()
            self._fresh.append(answer)
            actions += answer.deed.actions
            if answer.deed.is_look:
                break
        self.answers += self._fresh
        return actions

    def see(self, png: bytes | None, image: str | None) -> None:
        """Show the last step's looks what is there now.

        Args:
            png: The whole screen; None of an environment without one.
            image: The same as it is sent.
        """
        for answer in self._fresh:
            if not answer.deed.is_look or answer.error or png is None:
                continue
            try:
                region = answer.deed.region
                answer.image = image if region is None else zoom(png, self._scale, region)
            except OffImage as error:
                answer.error, self._has_failed = str(error), True

    def refuse(self, reason: str) -> None:
        """Take note that the environment refused the last step's actions: none was carried out."""
        for answer in self._fresh:
            if answer.deed.actions and not answer.error:
                answer.error, self._has_failed = reason, True

    def _answer(self, call: C) -> Answer[C]:
        if self._has_failed:
            return Answer(call, error=HALTED)
        try:
            return Answer(call, self._translate(call))
        except BadCall as error:
            self._has_failed = True
            return Answer(call, error=str(error))


def screen_of(observation: dict[str, Any]) -> bytes | None:
    """Return an observation's screen as PNG; None without one."""
    screen = observation.get("screen")
    return screen.png() if isinstance(screen, Screen) else None


def text_of(observation: dict[str, Any]) -> str | None:
    """Return an observation's terminal or tree of windows as text; None without either."""
    for name in ("cli_stdout", "ui_tree"):
        text = (observation.get(name) or {}).get("text")
        if text:
            return str(text)
    return None
