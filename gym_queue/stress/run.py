"""One run of one mode."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from gym_queue.errors import RequestInvalid
from gym_queue.stress.burst import measure_burst
from gym_queue.stress.creates import measure_creates
from gym_queue.stress.figures import Line, Ratio
from gym_queue.stress.plan import Mode, Plan, Progress, Target
from gym_queue.stress.report import Report
from gym_queue.stress.sessions import measure_sessions
from gym_queue.stress.steps import measure_latency, measure_rate
from gym_queue.stress.usage import UsageMeter
from gym_queue.web.server import new_event_loop

Measure = Callable[[Plan, Target, Progress], Awaitable[tuple[list[Line], list[Ratio]]]]
COMPARED = (Mode.LATENCY, Mode.RATE)
"""The modes in which nginx can stand where the master stands."""
_MODES: Mapping[Mode, Measure] = {
    Mode.LATENCY: measure_latency,
    Mode.RATE: measure_rate,
    Mode.CREATES: measure_creates,
    Mode.BURST: measure_burst,
    Mode.SESSIONS: measure_sessions,
}


def run(
    plan: Plan,
    target: Target,
    *,
    pids: Mapping[str, int] | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> Report:
    """Drive a fleet, from this process's main thread.

    Args:
        plan: What to do, and how much of it.
        target: The fleet.
        pids: Programs of this machine whose processor time and memory are read, by name.
        progress: Told how far it is.

    Raises:
        RequestInvalid: nginx cannot be compared in this mode.
        GymQueueError: The fleet cannot be reached, or refused what the measurement needs.
    """
    if target.fronts and plan.mode not in COMPARED:
        raise RequestInvalid(f"nginx forwards no creates: compare it in {' or '.join(COMPARED)}")
    meter, start = UsageMeter(pids or {}), time.perf_counter()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        lines, ratios = runner.run(_measure(plan, target, progress))
    usage = meter.read(time.perf_counter() - start)
    return Report(plan=plan, lines=lines, ratios=ratios, usage=usage)


async def _measure(plan: Plan, target: Target, progress: Progress) -> tuple[list[Line], list[Ratio]]:
    return await _MODES[plan.mode](plan, target, progress)
