"""When a screen counts as still: a rule on which parts of it changed and when. Speaks to no server.

The screen is seen as tiles of 32 x 32 pixels. It is still once ``settle_s`` seconds passed in which nothing changed,
counted from the wait's start at the earliest: whatever an action sets off within ``settle_s`` is waited for to its
end. A change does not count when all its tiles are known to be restless, as those of a blinking cursor or a clock.
A tile becomes restless in one of two ways, each seen without any input in between, and each only by changes that
are tiny: of no more than 12 tiles in all.
- It changed five times at even intervals: a blink, a spinner.
- It changed while nothing was waited for, after the screen was still and before the next action, twice:
  a clock between the steps of a slow agent.
A change that is not tiny makes all the tiles it touches ordinary again: something else is there now.
Restless tiles are in the picture like all others; only the waiting is not for them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable

import numpy as np

from gym_queue.runners.display.capture import Pixels

TILE_PX = 32
TINY_TILES = 12
EVEN_CHANGES = 5
IDLE_CHANGES = 2
UNEVENNESS_S = 0.03
"""How far intervals may differ that count as even: looks are up to 20 ms apart."""

Tile = tuple[int, int]
"""row, column."""


class Stillness:
    """Says how long to wait on. Times are in seconds, of any clock that does not go back."""

    def __init__(self) -> None:
        self._changes: dict[Tile, deque[float]] = {}
        self._idle: Counter[Tile] = Counter()
        self._restless: set[Tile] = set()
        self._since = 0.0

    @property
    def restless(self) -> frozenset[Tile]:
        """The tiles that are not waited for."""
        return frozenset(self._restless)

    def idle(self, tiles: Iterable[Tile]) -> None:
        """Take what changed between the end of a wait and the next input; nothing was done meanwhile."""
        changed = set(tiles)
        if self._is_tiny(changed):
            self._idle.update(changed)
            self._restless |= {tile for tile in changed if self._idle[tile] >= IDLE_CHANGES}

    def start(self, now: float) -> None:
        """Begin a wait, after input."""
        self._since = now
        self._changes.clear()

    def changed(self, tiles: Iterable[Tile], now: float) -> None:
        """Take what changed during the wait."""
        changed = set(tiles)
        if self._is_tiny(changed):
            for tile in changed:
                self._notice(tile, now)
        if changed - self._restless:
            self._since = now

    def still_at(self, settle_s: float) -> float:
        """Return when the screen counts as still unless it changes before."""
        return self._since + settle_s

    def _is_tiny(self, changed: set[Tile]) -> bool:
        if len(changed - self._restless) <= TINY_TILES:
            return True
        self._restless -= changed
        self._idle.clear()
        return False

    def _notice(self, tile: Tile, now: float) -> None:
        times = self._changes.setdefault(tile, deque(maxlen=EVEN_CHANGES))
        times.append(now)
        intervals = np.diff(times)
        if len(times) == EVEN_CHANGES and np.ptp(intervals) <= UNEVENNESS_S:
            self._restless.add(tile)


def changed_tiles(before: Pixels, after: Pixels) -> set[Tile]:
    """Return where two screens of one size differ."""
    differs = (before.view(np.uint32) != after.view(np.uint32))[..., 0]
    rows = np.flatnonzero(differs.any(axis=1))
    tiles: set[Tile] = set()
    for row in set((rows // TILE_PX).tolist()):  # np.unique would load numpy.ma, 1 MB in each process
        band = differs[row * TILE_PX : (row + 1) * TILE_PX].any(axis=0)
        tiles.update((row, column) for column in (np.flatnonzero(band) // TILE_PX).tolist())
    return tiles
