"""Commands whose modules are imported when they are asked for: a Tab in the shell waits for one of them, not for all."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup


class Entry(NamedTuple):
    """Where a command is."""

    module: str
    """Below ``gym_queue.cli``."""
    name: str
    """Of the function, or of the Typer that holds further commands."""
    panel: str
    """Heading that it stands under in the help."""


class LazyCommands(MutableMapping[str, Any]):
    """Commands by name; each is made when it is first looked at.

    Args:
        entries: Where they are, in the order of the help.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self._entries = dict(entries)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """Return a command."""
        if name not in self._made:
            self._made[name] = _make(name, self._entries[name])
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        """Add a command that is made already."""
        self._made[name] = command
        self._entries.setdefault(name, Entry("", "", ""))

    def __delitem__(self, name: str) -> None:
        """Take a command away."""
        del self._entries[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        """Return the names; nothing is imported."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._entries)


def lazy_group(entries: Mapping[str, Entry]) -> type[TyperGroup]:
    """Return a class of groups with these commands, for ``typer.Typer(cls=..)``."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**{**attributes, "commands": None})
            self.commands = LazyCommands(entries)

    return LazyGroup


def _make(name: str, entry: Entry) -> Any:
    found = getattr(importlib.import_module(f"gym_queue.cli.{entry.module}"), entry.name)
    if isinstance(found, typer.Typer):
        command: Any = typer.main.get_command(found)
        command.name, command.rich_help_panel = name, entry.panel
        return command
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name, rich_help_panel=entry.panel)(found)
    return typer.main.get_command(alone)
