"""A table of what was lately, bounded, and written down."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from gym_queue.master.facts import Notes

V = TypeVar("V")

REMEMBERED = 10_000
"""Entries that a table keeps."""


class Memory(Generic[V]):
    """Keeps the latest entries of one kind.

    Args:
        kind: Names the table in the notes.
        value: The type of its values.
        notes: Where entries are written down.
        limit: Entries kept; the oldest go first.
    """

    def __init__(self, kind: str, value: type[V], notes: Notes, *, limit: int = REMEMBERED) -> None:
        self.kind = kind
        self._json: TypeAdapter[V] = TypeAdapter(value)
        self._notes = notes
        self._limit = limit
        self._table: OrderedDict[str, V] = OrderedDict()

    def put(self, key: str, value: V) -> None:
        """Remember an entry, as the latest."""
        self._table[key] = value
        self._table.move_to_end(key)
        self._notes.note(self.kind, key, self._json.dump_json(value).decode())
        while len(self._table) > self._limit:
            oldest, _ = self._table.popitem(last=False)
            self._notes.note(self.kind, oldest, None)

    def pop(self, key: str) -> V | None:
        """Forget an entry and return it."""
        if key not in self._table:
            return None
        self._notes.note(self.kind, key, None)
        return self._table.pop(key)

    def get(self, key: str) -> V | None:
        """Return an entry."""
        return self._table.get(key)

    def values(self) -> list[V]:
        """Return every value, the oldest first."""
        return list(self._table.values())

    def __contains__(self, key: str) -> bool:
        return key in self._table

    def restore(self, facts: Mapping[str, Mapping[str, str]]) -> None:
        """Take back what was written down; entries that another version wrote are left out."""
        for key, text in facts.get(self.kind, {}).items():
            try:
                self._table[key] = self._json.validate_json(text)
            except ValidationError:
                continue
