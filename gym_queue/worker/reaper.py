"""Environments that their clients have forgotten, told from those whose clients could not be heard."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping

from gym_queue.worker.live import LiveEnv

LOOK_EVERY_S = 1.0
LATE_S = 1.0
"""A look that comes later than this was held up: the worker was stopped, or busy, and heard nobody."""


def steady_clock() -> Callable[[], float]:
    """Return a clock of Unix seconds that goes on steadily when somebody sets the wall clock."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


async def unused(
    envs: Mapping[str, LiveEnv],
    idle_timeout_s: float,
    clock: Callable[[], float],
    is_cut_off: Callable[[], bool],
) -> AsyncIterator[tuple[LiveEnv, str]]:
    """Yield, for ever, environments that nobody uses, and why that is thought.

    Time in which no client could be heard, as this worker stood still or its master was away, counts for nobody.

    Args:
        envs: The live ones.
        idle_timeout_s: For environments that have none of their own.
        clock: Unix seconds.
        is_cut_off: Whether clients cannot reach this worker now.
    """
    while True:
        before = time.monotonic()
        await asyncio.sleep(LOOK_EVERY_S)
        passed_s = time.monotonic() - before
        if passed_s > LOOK_EVERY_S + LATE_S or is_cut_off():
            for env in envs.values():
                env.last_seen += passed_s
                env.last_activity += passed_s
        now = clock()
        for env in list(envs.values()):
            why = _why_unused(env, now, idle_timeout_s)
            if why is not None:
                yield env, why


def _why_unused(env: LiveEnv, now: float, idle_timeout_s: float) -> str | None:
    """Return why an environment is taken for forgotten; one in the middle of a call never is."""
    if not env.opened or env.ending or env.busy:
        return None
    lease_s = env.request.lease_s
    if lease_s is not None and now - env.last_seen > lease_s:
        return f"its client did not renew its lease of {lease_s:g} s"
    idle_s, limit_s = now - env.last_activity, env.request.idle_timeout_s or idle_timeout_s
    return f"nobody used it for {idle_s:.0f} s" if idle_s > limit_s else None
