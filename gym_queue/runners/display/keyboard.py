"""The server's keymap: which key, at which level, gives a keysym, and which keys are free to give others."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gym_queue.runners.display.connection import Connection
from gym_queue.runners.display.keysyms import SECOND_GROUP

_GET_MAPPING, _CHANGE_MAPPING = 101, 100
_MAPPING_EVENT = 34
_POINTER_MAPPING = 2
LEVELS = 4
_NOTHING = (0,) * LEVELS
_ELSEWHERE = (0xFFFFFF,) * LEVELS  # VoidSymbol
Levels = tuple[int, ...]
"""A key's keysyms: plain, with Shift, in the second group (Mode_switch is held), there with Shift."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """How a keysym is typed."""

    keycode: int
    level: int

    @property
    def shift(self) -> bool:
        """Whether Shift is held."""
        return bool(self.level & 1)

    @property
    def second_group(self) -> bool:
        """Whether Mode_switch is held."""
        return bool(self.level & 2)


class Keymap:
    """What each key gives; plans which free keys are to give what is missing. Speaks to no server.

    Args:
        keys: Keycode → its keysyms; zeros only for a key without any.
        borrowed: Keycodes that were free before they were given what they give now, longest unused first.
    """

    def __init__(self, keys: Mapping[int, Levels], borrowed: Sequence[int] = ()) -> None:
        self._keys = dict(keys)
        has_second = any(levels[0] == SECOND_GROUP for levels in keys.values())
        self._levels = LEVELS if has_second else 2
        self._strokes: dict[int, Stroke] = {}
        for level in range(self._levels):
            for keycode, levels in self._keys.items():
                self._strokes.setdefault(levels[level], Stroke(keycode, level))
        self._strokes.pop(0, None)
        free = [keycode for keycode, levels in self._keys.items() if levels == _NOTHING]
        self.borrowable = (*free, *(each for each in borrowed if self._keys.get(each, _NOTHING) != _NOTHING))
        """The keys to give keysyms to, those to take first in front."""

    def find(self, keysym: int) -> Stroke | None:
        """Return how a keysym is typed; None when no key gives it."""
        return self._strokes.get(keysym)

    def count_fitting(self, keysyms: Sequence[int]) -> int:
        """Return how many keysyms, from the first, can be typed with one plan."""
        borrowable = set(self.borrowable)
        missing: set[int] = set()
        for count, keysym in enumerate(keysyms):
            stroke = self.find(keysym)
            if stroke is None:
                missing.add(keysym)
            else:
                borrowable.discard(stroke.keycode)
            if len(missing) > self._levels * len(borrowable):
                return count
        return len(keysyms)

    def plan(self, keysyms: Iterable[int]) -> dict[int, Levels]:
        """Return what to give to which free keys so that ``keysyms`` can all be typed.

        Keys that give some of ``keysyms`` already are left alone. What finds no key is left out.
        """
        wanted = list(dict.fromkeys(keysyms))
        strokes = {each: self.find(each) for each in wanted}
        used = {stroke.keycode for stroke in strokes.values() if stroke}
        missing = [each for each in wanted if strokes[each] is None]
        keys = (each for each in self.borrowable if each not in used)
        starts = range(0, len(missing), self._levels)
        return dict(zip(keys, (_fill(missing[at : at + self._levels]) for at in starts), strict=False))


class Keyboard:
    """Keeps the keymap of a server current, and gives free keys the keysyms that a text needs.

    Args:
        connection: The server.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._borrowed: dict[int, Levels] = {}
        self._keymap = self._load()
        self._is_stale = False

    @property
    def keymap(self) -> Keymap:
        """What each key gives now."""
        if self._is_stale:
            self._keymap = self._load()
            self._is_stale = False
        return self._keymap

    def see(self, event: bytes) -> None:
        """Take note of an event: the keymap may have been changed by anybody."""
        if event[0] & 0x7F == _MAPPING_EVENT and event[4] != _POINTER_MAPPING:
            self._is_stale = True

    def takes_back(self, keysyms: Sequence[int]) -> bool:
        """Whether giving keys to these takes any from keysyms given before, that programs may still have to read."""
        return any(keycode in self._borrowed for keycode in self.keymap.plan(keysyms))

    def provide(self, keysyms: Sequence[int]) -> None:
        """Give free keys what the keymap lacks of ``keysyms``.

        The server tells every program of a change before it sends it the keys that are typed next, and a program
        reads what it is told in order; so a key typed after this is read by the new keymap.
        """
        plan = self.keymap.plan(keysyms)
        used = {stroke.keycode for each in keysyms if (stroke := self._keymap.find(each))}
        for keycode in (*used, *plan):
            if keycode in self._borrowed or keycode in plan:
                self._borrowed[keycode] = plan.get(keycode) or self._borrowed.pop(keycode)
        if plan:
            self._connection.send(*(_change(first, keys) for first, keys in _runs(plan)))
            self._keymap = self._load()

    def _load(self) -> Keymap:
        low, high = self._connection.screen.keycodes
        count = high - low + 1
        reply = self._connection.ask(struct.pack("<BxHBBxx", _GET_MAPPING, 2, low, count))
        width = reply[1]
        keysyms = struct.unpack_from(f"<{count * width}I", reply, 32)
        rows = (keysyms[start : start + width] for start in range(0, count * width, width))
        keys = {low + index: _levels(row) for index, row in enumerate(rows)}
        self._borrowed = {key: levels for key, levels in self._borrowed.items() if keys.get(key) == levels}
        return Keymap(keys, tuple(self._borrowed))


def _levels(row: Sequence[int]) -> Levels:
    """Return the keysyms of a key's levels; a key that gives something elsewhere only is not free."""
    levels = (*row[:LEVELS], *_NOTHING)[:LEVELS]
    if not any(levels):
        return _ELSEWHERE if any(row) else _NOTHING
    return (levels[0], levels[1] or levels[0], *levels[2:])


def _fill(keysyms: Sequence[int]) -> Levels:
    """Return a key's levels, none of them empty: the server would fill in capitals of its own."""
    return tuple(keysyms) + (keysyms[0],) * (LEVELS - len(keysyms))


def _runs(plan: Mapping[int, Levels]) -> Iterable[tuple[int, list[Levels]]]:
    """Yield the plan as runs of adjacent keys: each is one request, and one event for every program."""
    start: int | None = None
    keys: list[Levels] = []
    for keycode in sorted(plan):
        if start is not None and keycode != start + len(keys):
            yield start, keys
            start = None
        if start is None:
            start, keys = keycode, []
        keys.append(plan[keycode])
    if start is not None:
        yield start, keys


def _change(first: int, keys: Sequence[Levels]) -> bytes:
    keysyms = [keysym for levels in keys for keysym in levels]
    head = struct.pack("<BBHBBxx", _CHANGE_MAPPING, len(keys), 2 + len(keysyms), first, LEVELS)
    return head + struct.pack(f"<{len(keysyms)}I", *keysyms)
