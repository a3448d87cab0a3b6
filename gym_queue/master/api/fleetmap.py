"""Every worker at a glance, in columns: what the overview's map is drawn of, made once for all who look."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from gym_queue.master.api.attention import why_sick
from gym_queue.master.fleet import Fleet
from gym_queue.master.routes import Routes

KEPT_S = 2.0
"""How long one answer is given to all who ask."""
MOST = 2000
"""Workers shown; ``total`` says how many there are."""
WHY_CHARS = 200


class FleetMap:
    """The workers by their ids. Lives on the master's loop.

    Args:
        fleet: The workers.
        routes: How many environments each has.
        clock: Monotonic seconds.
    """

    def __init__(self, fleet: Fleet, routes: Routes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet, self._routes, self._clock = fleet, routes, clock
        self._made_at = float("-inf")
        self._text = ""

    def text(self) -> str:
        """Return the answer as JSON; at most two seconds old."""
        now = self._clock()
        if now - self._made_at >= KEPT_S:
            self._made_at, self._text = now, self._make(now)
        return self._text

    def _make(self, now: float) -> str:
        rows = sorted(
            (record.registration.worker_id, record, status) for record, status in self._fleet.looked_at()
        )
        shown = [
            (
                worker_id,
                str(status),
                self._routes.count(worker_id),
                record.registration.max_envs,
                (why_sick(record, status, now) or "")[:WHY_CHARS],
            )
            for worker_id, record, status in rows[:MOST]
        ]
        names = ("worker_id", "status", "used", "slots", "why")
        columns = {name: [row[at] for row in shown] for at, name in enumerate(names)}
        body = {"as_of": time.time(), "total": len(rows), "workers": columns}
        return json.dumps(body, separators=(",", ":"))
