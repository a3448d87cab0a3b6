"""``gym-anything status``: the fleet at a glance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Annotated, Any

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from gym_queue.cli.watching import Asker, Show, lasted, left_out, number, rows_that_fit, state, watch
from gym_queue.client.transport import transport_to
from gym_queue.errors import Forbidden
from gym_queue.settings import DEFAULT_MASTER_PORT

MOST_WORKERS = 100
"""Rows that are shown at once."""
WIDE = 100
"""Columns from which on there is room for runners."""
RUNNERS, NUMBERS = 18, 60
"""Columns that runners may take, and all but runners and names."""
ATTENTION = 5
"""Notices that are shown."""
JSON_PARTS = {
    "overview": "/api/overview",
    "cluster": "/workers/list",
    "tasks": "/api/tasks",
    "queue": "/queue",
}
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON; with --watch, one line each time.")]
RemoteUrl = Annotated[str, typer.Option(envvar="GYM_ANYTHING_REMOTE_URL", help="The master.")]
Interval = Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks.")]
DEFAULT_URL = f"http://localhost:{DEFAULT_MASTER_PORT}"
View = dict[str, Any]


def status(
    remote_url: RemoteUrl = DEFAULT_URL,
    as_json: JsonFlag = False,
    follow: Annotated[bool, typer.Option("--watch", help="Look again and again, until Ctrl-C.")] = False,
    interval: Interval = 2.0,
) -> None:
    """Show a master's environments, slots, queue, rates, latencies and workers.

    Exits with 0, or with 1 when the master does not answer or refuses.

    Example: gym-anything status --remote-url http://localhost:5800

    Example: gym-anything status --watch --interval 5
    """
    with closing(transport_to(remote_url)) as transport:
        asker = Asker(transport)
        asker.check_master(remote_url)
        if as_json:
            _print_json(asker, interval if follow else None)
        elif follow:
            watch(Console(), lambda: _look(asker.watching()), interval_s=interval)
        else:
            console = Console()
            console.print(_look(asker)(console.width, None))


def _print_json(asker: Asker, interval_s: float | None) -> None:
    if interval_s is None:
        typer.echo(json.dumps(_parts(asker), indent=2))
        return
    watch(
        Console(file=typer.get_text_stream("stdout"), force_terminal=False, soft_wrap=True),
        lambda: _one_line(_parts(asker)),
        interval_s=interval_s,
    )


def _parts(asker: Asker) -> View:
    return {name: asker.get(path) for name, path in JSON_PARTS.items()}


def _one_line(parts: View) -> Show:
    return lambda _width, _height: Text(json.dumps(parts))


def _look(asker: Asker) -> Show:
    """Ask for what this token may see, and return what shows it."""
    try:
        overview = asker.get("/api/overview")
    except Forbidden:
        return _own(asker.get("/envs/list"), asker.get("/queue"))
    workers = asker.get("/api/workers", sort="worker_id", limit=MOST_WORKERS)
    return lambda width, height: picture(overview, workers, (width, height))


def _own(envs: View, queue: View) -> Show:
    """Return what shows a named client its own."""
    text = (
        f"This token sees its own environments alone: {envs['total']} live, {len(queue['waiting'])} of its creates wait, "
        f"{queue['total']} with everybody's."
    )
    return lambda _width, _height: Text(text)


def picture(overview: View, workers: View, size: tuple[int, int | None]) -> RenderableType:
    """Return the fleet for people.

    Args:
        overview: Of ``/api/overview``.
        workers: Of ``/api/workers``.
        size: Columns and lines there are; None is as many as it takes.
    """
    width, height = size
    head = [_title(overview), *_facts(overview), *_notices(overview), Text("")]
    latencies = _latencies(overview)
    above = len(head) + latencies.row_count + 3
    shown = rows_that_fit(height, above, len(workers["rows"]))
    more = left_out(shown, workers["matched"], "workers")
    tail = [Text(more, style="dim")] if more else []
    return Group(*head, latencies, Text(""), _workers(workers["rows"][:shown], width), *tail)


def _title(overview: View) -> Text:
    broker = overview["broker"]
    text = _line("Gym Queue", str(overview["version"]))
    text.append(f"  up {lasted(overview['as_of'] - overview['started_at'])}  broker {broker['kind']} ")
    if broker["ok"]:
        text.append("ok", style="green")
    else:
        text.append(f"DOWN: {broker['error'] or 'no answer'}", style="bold red")
    return text


def _facts(overview: View) -> list[Text]:
    slots, queue, rates, totals = (overview[part] for part in ("slots", "queue", "rates", "totals"))
    envs = {name: count for name, count in overview["envs"].items() if name != "queued"}
    oldest = f", the oldest for {lasted(queue['oldest_s'])}" if queue["length"] else ""
    by_state = {name: count for name, count in overview["workers"].items() if count and name != "total"}
    return [
        _line("workers", _counted(by_state) or "none yet: gym-anything-worker --master-url <this master>"),
        _line("slots", f"{slots['used']:,} of {slots['total']:,} taken"),
        _line("envs", _counted(envs) or "none"),
        _line("queue", f"{queue['length']:,} waiting{oldest}"),
        _line("rates", " · ".join(f"{number(rate)} {_per_second(name)}" for name, rate in rates.items())),
        _line("totals", _counted(totals) or "nothing yet"),
    ]


def _notices(overview: View) -> list[Text]:
    notices = overview["attention"]
    shown = [Text(f"! {notice['text']}", style="yellow", no_wrap=True) for notice in notices[:ATTENTION]]
    more = left_out(len(shown), len(notices), "notices")
    for line in shown:
        line.overflow = "ellipsis"
    return [*shown, *([Text(more, style="dim")] if more else [])]


def _latencies(overview: View) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"last {lasted(overview.get('window_s', 600))}", no_wrap=True)
    for heading in ("calls", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for call, row in overview["latency"].items():
        table.add_row(
            call, number(row["count"]), *(number(row[name]) for name in ("p50_ms", "p95_ms", "p99_ms"))
        )
    return table


def _workers(rows: list[View], width: int) -> Table:
    """Return the workers; a narrow terminal has no room for all that is told of them."""
    is_wide = width >= WIDE
    table = Table(box=None, pad_edge=False, collapse_padding=True, header_style="dim")
    table.add_column(
        "worker",
        no_wrap=True,
        overflow="ellipsis",
        max_width=max(width - NUMBERS - (RUNNERS + 1) * is_wide, 8),
    )
    table.add_column("status", no_wrap=True)
    if is_wide:
        table.add_column("runners", no_wrap=True, overflow="ellipsis", max_width=RUNNERS)
    for heading in ("slots", "cpu", "mem", "heard", "active", "done", "failed"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        runners = [Text(" ".join(row["runners"] or ["any"]))] if is_wide else []
        table.add_row(Text(row["worker_id"]), state(row["status"]), *runners, *map(Text, _numbers(row)))
    return table


def _numbers(row: View) -> tuple[str, ...]:
    celery = row.get("celery") or {}
    return (
        f"{row['used']}/{row['slots']}",
        _percent(row["cpu_percent"]),
        _percent(row["memory_percent"]),
        lasted(row["heartbeat_age_s"]),
        *(str(celery.get(name) or 0) for name in ("active", "succeeded", "failed")),
    )


def _line(name: str, text: str) -> Text:
    line = Text(f"{name:<9} ", style="bold", no_wrap=True, overflow="ellipsis")
    line.append(text, style="not bold")
    return line


def _counted(counts: Mapping[str, Any]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _per_second(name: str) -> str:
    return f"{name.removesuffix('_per_s')}/s"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"
