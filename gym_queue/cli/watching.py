"""Views of a fleet that stay on the terminal, through a master that goes away and returns."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gym_queue.client.calls import Call
from gym_queue.client.retry import BRIEF, Retries
from gym_queue.client.transport import Transport
from gym_queue.errors import GymQueueError, Infrastructure, RequestInvalid

TIMEOUT_S = 10.0
WATCHED_TIMEOUT_S = 3.0
AT_ONCE = Retries(connect_s=0.0)
"""Of a view that asks again anyway."""
Show = Callable[[int, int | None], RenderableType]
"""Columns and lines there are → what is shown in them; None is as many lines as it takes."""
STATE_STYLES = {
    "healthy": "green",
    "ready": "green",
    "draining": "yellow",
    "queued": "yellow",
    "creating": "yellow",
    "unhealthy": "red",
    "dead": "red",
}


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks a master for what a view shows.

    Args:
        transport: To the master.
        timeout_s: For one answer.
        retries: Of one question.
    """

    transport: Transport
    timeout_s: float = TIMEOUT_S
    retries: Retries = BRIEF

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Return what a path answers.

        Raises:
            GymQueueError: As the master answered, or what kept it from it.
        """
        asked = tuple((name, str(value)) for name, value in query.items() if value != "")
        return self.transport.send(
            Call("GET", path, timeout_s=self.timeout_s, retries=self.retries, query=asked)
        )

    def watching(self) -> Asker:
        """Return the same for a view that asks again and again."""
        return Asker(self.transport, WATCHED_TIMEOUT_S, AT_ONCE)

    def check_master(self, url: str) -> None:
        """See that a master answers.

        Raises:
            RequestInvalid: It is a worker.
        """
        if self.get("/health").get("role") != "master":
            raise RequestInvalid(f"{url} is a worker: name its master with --remote-url")


def watch(
    console: Console,
    look: Callable[[], Show],
    *,
    interval_s: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Show a view until Ctrl-C: over the whole terminal, or line by line where there is none.

    Args:
        console: Where to.
        look: Asks, and returns what shows the answer.
        interval_s: Between two looks.
        sleep: Pauses, in seconds.

    Raises:
        GymQueueError: The first look failed, or a later one for good: a token that is not taken any more.
    """
    picture = _Picture(look)
    picture.take()
    try:
        if not console.is_terminal:
            while True:
                console.print(picture.show(console.width, None))
                sleep(interval_s)
                picture.take_if_there()
        with Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                live.update(picture.show(console.width, console.height), refresh=True)
                sleep(interval_s)
                picture.take_if_there()
    except KeyboardInterrupt:
        return


class _Picture:
    """The last answer, and since when there was no newer one."""

    def __init__(self, look: Callable[[], Show]) -> None:
        self._look = look
        self._show: Show = lambda _width, _height: ""
        self._why: GymQueueError | None = None
        self._last = self._last_at = 0.0

    def take(self) -> None:
        self._show = self._look()
        self._last, self._last_at, self._why = time.monotonic(), time.time(), None

    def take_if_there(self) -> None:
        try:
            self.take()
        except Infrastructure as error:
            self._why = error

    def show(self, width: int, height: int | None) -> RenderableType:
        if self._why is None:
            return self._show(width, height)
        at = datetime.fromtimestamp(self._last_at, UTC).astimezone()
        ago = lasted(time.monotonic() - self._last)
        banner = Text(
            f"No answer from the master since {at:%H:%M:%S}, {ago} ago: this is what it said then.",
            style="bold red",
        )
        why = Text(str(self._why), style="red", no_wrap=True, overflow="ellipsis")
        return Group(banner, why, self._show(width, None if height is None else max(height - 3, 1)))


def rows_that_fit(height: int | None, above: int, rows: int) -> int:
    """Return how many of ``rows`` fit below ``above`` lines, one line being kept to say how many do not."""
    if height is None:
        return rows
    return max(min(rows, height - above - 2), 1)


def left_out(shown: int, total: int, what: str) -> str:
    """Return the sentence on rows that are not shown; empty when all are."""
    return f"… and {total - shown:,} more {what}" if total > shown else ""


def lasted(seconds: float | None) -> str:
    """Return a duration for people; empty when there is none."""
    if seconds is None:
        return ""
    for unit, size, below in (("s", 1, 60), ("min", 60, 3600), ("h", 3600, 86_400)):
        if seconds < below:
            number = seconds / size
            return f"{number:.1f} {unit}" if number < 10 and unit != "s" else f"{max(number, 0):.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def number(value: float | None, *, digits: int = 1) -> str:
    """Return a number for people; empty when there is none."""
    if value is None:
        return ""
    return f"{value:,.{digits}f}" if abs(value) < 100 and value != int(value) else f"{value:,.0f}"


def state(name: object) -> Text:
    """Return a state's name in its colour."""
    return Text(str(name), style=STATE_STYLES.get(str(name), ""))
