"""The last hour in columns of numbers, one row every few seconds; what nobody measured is a gap."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping, Sequence

KEPT_ROWS = 360
STEP_S = 10.0
MOST = 2**53
"""What JSON's readers take as it is; not-a-number and infinity are beyond it."""
Number = float | None


class History:
    """Rows of numbers at even steps. Not thread-safe.

    Args:
        names: The columns'.
        step_s: Seconds between two rows.
        kept: Rows; older ones leave.
    """

    def __init__(self, names: Sequence[str], *, step_s: float = STEP_S, kept: int = KEPT_ROWS) -> None:
        self.names, self.step_s = tuple(names), step_s
        self._rows: deque[tuple[float, tuple[Number, ...]]] = deque(maxlen=kept)
        self.version = 0
        """Grows with each row."""

    def add(self, at: float, values: Mapping[str, Number]) -> None:
        """Append a row; steps that were left out become rows of None, and a clock set back takes rows away.

        Args:
            at: Unix seconds.
            values: Column → number; those left out are None.
        """
        while self._rows and self._rows[-1][0] >= at:
            self._rows.pop()
        self._fill_until(at)
        self._rows.append((at, tuple(values.get(name) for name in self.names)))
        self.version += 1

    def columns(self) -> dict[str, list[Number]]:
        """Return every column, oldest number first; ``at`` is in Unix seconds."""
        found: dict[str, list[Number]] = {"at": [round(at, 3) for at, _row in self._rows]}
        for index, name in enumerate(self.names):
            found[name] = [row[index] for _at, row in self._rows]
        return found

    def dump(self) -> str:
        """Return all of it as JSON, for ``load``."""
        return json.dumps({"step_s": self.step_s, "series": self.columns()}, separators=(",", ":"))

    def load(self, text: str, *, now: float) -> None:
        """Take back what an earlier process dumped, as far as it is not too old, and not of the future.

        Args:
            text: What ``dump`` returned.
            now: Unix seconds.

        Raises:
            ValueError: It is something else.
        """
        for at, row in _rows_of(text, self.step_s):
            if now - self._length_s < at < now:
                self.add(at, row)

    @property
    def _length_s(self) -> float:
        return self.step_s * (self._rows.maxlen or 0)

    def _fill_until(self, at: float) -> None:
        if not self._rows:
            return
        last = self._rows[-1][0]
        if at - last > self._length_s:
            self._rows.clear()
            return
        empty = (None,) * len(self.names)
        for number in range(1, round((at - last) / self.step_s)):
            self._rows.append((last + number * self.step_s, empty))


def _rows_of(text: str, step_s: float) -> list[tuple[float, dict[str, Number]]]:
    try:
        found = json.loads(text, parse_constant=_number)
        if found["step_s"] != step_s:
            return []
        columns = {str(name): [_number(each) for each in column] for name, column in found["series"].items()}
        times = columns.pop("at")
        return [
            (at, {name: column[index] for name, column in columns.items()})
            for index, at in enumerate(times)
            if at is not None
        ]
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"these are no columns of numbers: {error!r}") from error


def _number(value: object) -> Number:
    if value is None or (
        isinstance(value, int | float) and not isinstance(value, bool) and -MOST < value < MOST
    ):
        return value
    raise TypeError(f"{value!r} is no number")
