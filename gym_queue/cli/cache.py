"""``gym-anything cache``: the checkpoints that environments of this host start from."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from gym_queue.cli.tables import print_table
from gym_queue.cli.token import parse_duration
from gym_queue.env.checkpoints import STATE, CheckpointCache, CheckpointRecord
from gym_queue.errors import RequestInvalid
from gym_queue.settings import checkpoints_path

MIB = 1 << 20
HEADINGS = ("key", "level", "holds", "environment", "task", "MiB", "age", "unused for")
SHOWN_KEY_CHARS = 12

Folder = Annotated[
    Path | None,
    typer.Option("--checkpoint-dir", help="Folder of the records: the workers' own when not given."),
]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Checkpoints: sandboxes whose hooks have run already, kept on this host to start from.",
)


@app.command("list")
def list_checkpoints(
    folder: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the checkpoints of this host, the most recently used first.

    Example: gym-anything cache list
    """
    records = CheckpointCache(folder or checkpoints_path()).records()
    if as_json:
        typer.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=2))
        return
    if not records:
        typer.echo("there are no checkpoints: a reset with use_cache keeps some")
        return
    rows = [_row(record, time.time()) for record in records]
    print_table(HEADINGS, rows, numbers=HEADINGS[-3:])
    total = sum(record.size_bytes for record in records) / MIB
    typer.echo(f"{len(records)} checkpoints, {total:,.0f} MiB")


@app.command()
def purge(
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEY", help="Those whose keys start so.", show_default=False)
    ] = None,
    env: Annotated[str | None, typer.Option(help="Those of one environment, by its spec's id.")] = None,
    unused_for: Annotated[
        str | None, typer.Option(metavar="TIME", help="Those unused for so long: 30d, 12h, 15m, 90s.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    states: Annotated[bool, typer.Option("--states", help="Saved states too.")] = False,
    folder: Folder = None,
) -> None:
    """Remove checkpoints. Environments that run go on; their next reset runs its hooks again.

    Example: gym-anything cache purge --unused-for 7d
    """
    if not (keys or env or unused_for or everything):
        raise RequestInvalid("say what to purge: keys, --env, --unused-for or --all")
    cache = CheckpointCache(folder or checkpoints_path())
    chosen = _choose(cache.records(), keys or (), env, unused_for)
    if not states:
        chosen = [record for record in chosen if record.level != STATE or _is_named(record, keys or ())]
    for record in chosen:
        cache.remove(record.key)
    freed = sum(record.size_bytes for record in chosen) / MIB
    typer.echo(f"removed {len(chosen)} checkpoints, {freed:,.0f} MiB")


def _choose(
    records: Sequence[CheckpointRecord], keys: Sequence[str], env: str | None, unused_for: str | None
) -> list[CheckpointRecord]:
    """Return the records that meet every condition.

    Raises:
        RequestInvalid: A key starts no record's.
    """
    for key in keys:
        if not any(record.key.startswith(key) for record in records):
            raise RequestInvalid(f"there is no checkpoint {key}: see gym-anything cache list")
    latest = time.time() - (parse_duration(unused_for) if unused_for else 0)
    return [
        record
        for record in records
        if (not keys or _is_named(record, keys))
        and (env is None or record.env == env)
        and (unused_for is None or record.used_at <= latest)
    ]


def _is_named(record: CheckpointRecord, keys: Sequence[str]) -> bool:
    return any(record.key.startswith(key) for key in keys)


def _row(record: CheckpointRecord, now: float) -> tuple[str, ...]:
    return (
        record.key if record.level == STATE else record.key[:SHOWN_KEY_CHARS],
        record.level,
        "machine" if record.machine else "files",
        record.env,
        record.task or "",
        f"{record.size_bytes / MIB:,.1f}",
        _age(now - record.created_at),
        _age(now - record.used_at),
    )


def _age(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f}{unit}"
    return f"{max(0.0, seconds):.0f}s"
