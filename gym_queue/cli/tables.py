"""Tables without lines, as wide as what they hold, folded where the terminal is narrower."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000
"""Columns of a table that goes to a file or a pipe, where each row is one line."""


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Collection[str] = ()
) -> None:
    """Print a table.

    Args:
        headings: Of its columns.
        rows: Values; what they say to Rich as markup is text here.
        numbers: Headings of the columns whose values stand at the right.
    """
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in headings:
        table.add_column(heading, overflow="fold", justify="right" if heading in numbers else "left")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row))
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table)
        return
    with Console(width=UNBOUNDED, file=io.StringIO()) as page, page.capture() as lines:
        page.print(table)
    typer.echo("\n".join(line.rstrip() for line in lines.get().splitlines()))
