"""``gym-anything compatibility``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gym_queue.runners.compatibility import Compatibility
from gym_queue.runners.compatibility import compatibility as compare_runners


def _yes(value: bool) -> Text:
    return Text("yes", "green") if value else Text("no", "dim")


def _list(values: Sequence[str]) -> Text:
    return Text("\n".join(values))


ROWS: Mapping[str, Callable[[Compatibility], Text]] = {
    "observations": lambda each: _list(each.observations),
    "actions": lambda each: _list(each.actions),
    "inside": lambda each: _list(each.os_types),
    "filmed live": lambda each: _yes(each.live_recording),
    "checkpoints (use_cache)": lambda each: _list(each.checkpoint_levels or ("no",)),
    "running machines (use_savevm)": lambda each: _yes(each.savevm),
    "watched by VNC": lambda each: _yes(each.vnc),
    "user_accounts": lambda each: Text(
        "made inside" if each.user_accounts_mode == "provision_from_spec" else "ignored"
    ),
    "network": lambda each: Text("by resources.net" if each.network == "switched" else "the host's"),
    "CPU and memory": lambda each: Text("limited" if each.resources == "limited" else "no limit"),
    "GPUs": lambda each: Text("by resources.gpu" if each.gpu == "given" else "the host's"),
}
"""What is shown of each."""


def compatibility(
    runner: Annotated[str | None, typer.Option(help="Just these, comma-separated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what each runner can do, whether or not this machine is ready for it: see gym-anything doctor for that.

    Exits with 0, or with 2 when there is no runner of a name.

    Example: gym-anything compatibility --runner docker,local
    """
    asked = [name.strip() for name in runner.split(",") if name.strip()] if runner else None
    found = compare_runners(asked)
    if as_json:
        typer.echo(json.dumps([each.model_dump(mode="json") for each in found], indent=2))
        return
    console = Console(highlight=False)
    here = [each for each in found if each.implemented]
    if here:
        console.print(_table(here))
    notes: dict[str, list[str]] = {}
    for each in found:
        if not each.implemented:
            notes.setdefault(each.note, []).append(each.runner)
    for note, names in notes.items():
        console.print(Text(f"{', '.join(names)}: {note}"))


def _table(found: Sequence[Compatibility]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", overflow="fold")
    for each in found:
        table.add_column(Text(f"{each.runner}\n{each.kind}", "bold"), overflow="fold")
    for name, show in ROWS.items():
        table.add_row(name, *(show(each) for each in found))
    return table
