"""When a worker gives cause to ask whether it lives: a pure function of what was heard of it."""

from __future__ import annotations

from dataclasses import dataclass

from gym_queue.master.records import WorkerRecord

LATE_BEATS = 2
"""Heartbeats that may be missing."""
QUIET_S = 6.0
"""Celery workers say every 2 s that they live: silent for three of these while others speak is a sign."""
OPENING_S = 1.0
"""How long a worker that opens an environment may give no sign at all."""
PAUSE_S = 1.0
"""Between questions to a worker that somebody waits for."""
PATIENCE = 3
"""Unanswered questions after which a worker is asked only as often as it should send heartbeats."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What else counts, at one moment; monotonic seconds."""

    now: float
    heartbeat_s: float
    newest_signal: float
    """When any worker last spoke on Celery's event stream."""


def is_doubtful(record: WorkerRecord, at: Circumstances, *, opening_since: float | None) -> bool:
    """Return whether a worker should be asked now whether it lives.

    Args:
        record: What is known of it.
        at: The circumstances.
        opening_since: Since when it opens an environment, the oldest of them; None when it opens none.
    """
    if record.dead:
        return False
    is_awaited = record.is_restored or (
        opening_since is not None and at.now - max(record.heard, opening_since) > OPENING_S
    )
    is_late = at.now - record.seen > LATE_BEATS * at.heartbeat_s
    is_quiet = record.signalled > 0 and at.newest_signal - record.signalled > QUIET_S
    if not (is_awaited or is_late or is_quiet or record.unanswered):
        return False
    is_urgent = is_awaited or record.unanswered > 0
    pause_s = PAUSE_S if is_urgent and record.unanswered < PATIENCE else max(at.heartbeat_s, PAUSE_S)
    return at.now - record.probed >= pause_s
