"""``gym-anything top``: what each environment does."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gym_queue.cli.status import DEFAULT_URL, Interval, RemoteUrl
from gym_queue.cli.watching import Asker, Show, lasted, left_out, number, rows_that_fit, state, watch
from gym_queue.client.transport import transport_to
from gym_queue.errors import Forbidden, GymQueueError, RequestInvalid

MOST_ROWS = 100
"""Rows that are asked for, and measured."""
SAMPLE = 100
"""Latest steps that a median is of."""
RATE_S = 10.0
"""Latest seconds that a rate is of."""
THREADS = 8
WIDE = 120
"""Columns from which on whole ids are shown."""
SHORT_ID, WHOLE_ID = 8, 36
NUMBERS = 48
"""Columns that all but ids and names may take."""
LISTED = {
    "age": "age_s",
    "env": "env",
    "id": "env_id",
    "owner": "owner",
    "runner": "runner",
    "state": "state",
    "task": "task_id",
    "worker": "worker_id",
}
"""What the master sorts by → its name there."""
MEASURED = ("steps", "rate", "p50", "last")
"""What is sorted here, among the rows that are measured."""
View = dict[str, Any]


@dataclass(slots=True)
class Measured:
    """What the calls of one environment tell."""

    calls: deque[View] = field(default_factory=lambda: deque[View](maxlen=500))
    next: int = 0
    as_of: float = 0.0
    """Unix seconds of its worker, as those of its calls."""

    def take(self, reply: View) -> None:
        """Add the calls since the last reply."""
        self.calls.extend(reply["calls"])
        self.next, self.as_of = reply["next"], reply["as_of"]

    @property
    def steps(self) -> float | None:
        """Steps of the running episode."""
        latest = next((call for call in reversed(self.calls) if call["step"] is not None), None)
        return None if latest is None else float(latest["step"] + 1)

    @property
    def rate(self) -> float | None:
        """Steps a second, lately."""
        if not self.as_of:
            return None
        since = self.as_of - RATE_S
        return len([1 for call in self.calls if call["call"] == "step" and call["at"] > since]) / RATE_S

    @property
    def p50(self) -> float | None:
        """Median of the latest steps' durations, ms."""
        durations: list[float] = [call["duration_ms"] for call in self.calls if call["call"] == "step"][
            -SAMPLE:
        ]
        return statistics.median(durations) if durations else None

    @property
    def last(self) -> float | None:
        """Seconds since the latest call began."""
        return self.as_of - float(self.calls[-1]["at"]) if self.calls else None


Row = tuple[View, Measured]
"""What the master tells of an environment, and its calls."""


def top(
    sort: Annotated[
        str,
        typer.Option(
            help=f"What to sort by, with - before it the largest first: {', '.join((*LISTED, *MEASURED))}."
        ),
    ] = "-rate",
    query: Annotated[str, typer.Option("--filter", help="Words that a row must hold.")] = "",
    remote_url: RemoteUrl = DEFAULT_URL,
    interval: Interval = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Look once.")] = False,
) -> None:
    """Show what each environment does: steps, their rate and median, its last call.

    Exits with 0, or with 1 when the master does not answer or refuses.

    Example: gym-anything top --sort -p50 --filter terminal_env

    Example: gym-anything top --once --remote-url http://localhost:5800
    """
    _check_sort(sort)
    with (
        closing(transport_to(remote_url)) as transport,
        ThreadPoolExecutor(THREADS, thread_name_prefix="top") as threads,
    ):
        asker = Asker(transport)
        asker.check_master(remote_url)
        looker = Looker(asker if once else asker.watching(), threads.map, sort=sort, query=query)
        if once:
            console = Console()
            console.print(looker.look()(console.width, None))
        else:
            watch(Console(), looker.look, interval_s=interval)


class Looker:
    """Asks for environments, and for the calls of those that are shown.

    Args:
        asker: Of the master.
        each: Runs a function for each of some, side by side.
        sort: As ``--sort``.
        query: Words that a row must hold.
    """

    def __init__(self, asker: Asker, each: Callable[..., Iterable[None]], *, sort: str, query: str) -> None:
        self._asker, self._each, self._sort, self._query = asker, each, sort, query
        self._measured: dict[str, Measured] = {}

    def look(self) -> Show:
        """Ask anew, and return what shows it."""
        envs = self._list()
        rows = envs["rows"]
        known = self._measured
        self._measured = {row["env_id"]: known.get(row["env_id"], Measured()) for row in rows}
        list(self._each(self._measure, [row["env_id"] for row in rows if row["state"] == "ready"]))
        told = in_order([(row, self._measured[row["env_id"]]) for row in rows], self._sort)
        note = self._note(envs)
        return lambda width, height: picture(told, envs["matched"], note, (width, height))

    def _list(self) -> View:
        name = self._sort.removeprefix("-")
        sort = f"{self._sort[: -len(name)]}{LISTED[name]}" if name in LISTED else ""
        try:
            return self._asker.get("/api/envs", sort=sort, q=self._query, limit=MOST_ROWS)
        except Forbidden:
            return _own(self._asker.get("/envs/list"), self._query)

    def _measure(self, env_id: str) -> None:
        measured = self._measured[env_id]
        try:
            measured.take(self._asker.get(f"/envs/{env_id}/calls", after=measured.next))
        except GymQueueError:  # it ended, or its worker cannot tell: the row stays without numbers
            return

    def _note(self, envs: View) -> str:
        if "note" in envs:
            return str(envs["note"])
        is_cut = envs["matched"] > len(envs["rows"]) and self._sort.removeprefix("-") in MEASURED
        return (
            f"sorted among {len(envs['rows'])} of {envs['matched']:,}: narrow them with --filter"
            if is_cut
            else ""
        )


def in_order(rows: list[Row], sort: str) -> list[Row]:
    """Return rows by what is measured, those without last; as they are when the master has sorted them."""
    name = sort.removeprefix("-")
    if name not in MEASURED:
        return rows
    return sorted(rows, key=lambda row: _sort_key(getattr(row[1], name), falling=sort != name))


def picture(rows: list[Row], matched: int, note: str, size: tuple[int, int | None]) -> RenderableType:
    """Return the environments for people.

    Args:
        rows: Those to show.
        matched: How many there are.
        note: What else is to be said.
        size: Columns and lines there are; None is as many as it takes.
    """
    if not rows:
        return Text(" ".join(filter(None, ("no environment", note))))
    width, height = size
    table = _table(width)
    shown = rows_that_fit(height, 1, len(rows))
    for row, measured in rows[:shown]:
        table.add_row(*_cells(row, measured))
    tail = [Text(text, style="dim") for text in (left_out(shown, matched, "environments"), note) if text]
    return Group(table, *tail)


def _table(width: int) -> Table:
    """Return the columns: names get the room that the numbers leave."""
    id_width = WHOLE_ID if width >= WIDE else SHORT_ID
    room = max(width - NUMBERS - id_width, 16)
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    table.add_column("id", no_wrap=True, overflow="crop", max_width=id_width)
    table.add_column("state", no_wrap=True)
    table.add_column("env/task", no_wrap=True, overflow="ellipsis", max_width=room - room * 2 // 5)
    table.add_column("worker", no_wrap=True, overflow="ellipsis", max_width=room * 2 // 5)
    for heading in ("age", "steps", "/s", "p50 ms", "last"):
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _cells(row: View, measured: Measured) -> tuple[Text, ...]:
    named = "/".join(str(row[name]) for name in ("env", "task_id") if row.get(name))
    plain = (
        named,
        row["worker_id"] or "",
        lasted(row["age_s"]),
        number(measured.steps),
        number(measured.rate),
        number(measured.p50),
        lasted(measured.last),
    )
    return (Text(row["env_id"]), state(row["state"]), *map(Text, plain))


def _own(envs: View, query: str) -> View:
    """Return a named client's environments as rows."""
    rows = [
        {"env_id": env_id, "state": "ready", "worker_id": env["worker_id"], "age_s": None}
        for env_id, env in envs["environments"].items()
        if query in f"{env_id} {env['worker_id']}"
    ]
    return {
        "rows": rows[:MOST_ROWS],
        "matched": len(rows),
        "note": "this token sees its own environments alone",
    }


def _check_sort(sort: str) -> None:
    if sort.removeprefix("-") not in (*LISTED, *MEASURED):
        raise RequestInvalid(
            f"--sort {sort}: use {', '.join((*LISTED, *MEASURED))}, with - before it for falling"
        )


def _sort_key(value: float | None, *, falling: bool) -> tuple[bool, float]:
    """Return what sorts by a number, those that have none last."""
    return (value is None, 0.0 if value is None else -value if falling else value)
